import { list, map, message } from '../../../source/schema/message.ts';
import { enumeration, int64, string, uint32 } from '../../../source/schema/scalar.ts';
import { effective, type Read, reported, required, type Type } from '../../../source/schema/type.ts';

const STATUS = 'controllers write the status; it is not read';
const NETWORK = 'networks and their gateways come with multi-cluster meshes; the address is called directly';

export const workloadEntry = message('WorkloadEntry', {
  address: effective(string),
  ports: effective(map(uint32)),
  labels: effective(map(string)),
  network: reported(string, NETWORK),
  locality: effective(string),
  weight: effective(uint32),
  serviceAccount: effective(string),
});

export const servicePort = message('ServicePort', {
  number: required(uint32),
  protocol: effective(string),
  name: required(string),
  targetPort: effective(uint32),
});

/** Of networking/v1alpha3 (`labels`), not that of type/v1beta1 (`matchLabels`). */
export const workloadSelector = message('WorkloadSelector', { labels: effective(map(string)) });

export const serviceEntry = message('ServiceEntry', {
  hosts: required(list(string)),
  addresses: effective(list(string)),
  ports: effective(list(servicePort)),
  location: effective(enumeration('Location', { MESH_EXTERNAL: 'effective', MESH_INTERNAL: 'effective' })),
  resolution: effective(
    enumeration('Resolution', {
      NONE: 'effective',
      STATIC: 'effective',
      DNS: 'effective',
      DNS_ROUND_ROBIN: 'effective',
      DYNAMIC_DNS: 'effective',
    }),
  ),
  endpoints: effective(list(workloadEntry)),
  workloadSelector: effective(workloadSelector),
  exportTo: effective(list(string)),
  subjectAltNames: reported(list(string), 'names are checked where the mesh originates TLS, which it does not yet'),
});

export type ServiceEntrySpec = Read<typeof serviceEntry>;
export type WorkloadEntrySpec = Read<typeof workloadEntry>;

/** Never read; here so that the table knows every field of the API. */
const anything: Type<unknown> = { name: 'any', message: null, enumeration: null, read: (value) => value };
const serviceEntryAddress = message('ServiceEntryAddress', {
  value: reported(string, STATUS),
  host: reported(string, STATUS),
});
const serviceEntryStatus = message('ServiceEntryStatus', {
  conditions: reported(list(anything), STATUS),
  validationMessages: reported(list(anything), STATUS),
  observedGeneration: reported(int64, STATUS),
  addresses: reported(list(serviceEntryAddress), STATUS),
});

export const SERVICE_ENTRY_MESSAGES = {
  ServiceEntry: serviceEntry,
  ServicePort: servicePort,
  ServiceEntryStatus: serviceEntryStatus,
  ServiceEntryAddress: serviceEntryAddress,
} as const;

export const WORKLOAD_ENTRY_MESSAGES = { WorkloadEntry: workloadEntry } as const;
