import { list, map, message } from '../../source/schema/message.ts';
import { bool, intOrString, ipAddress, portNumber, string } from '../../source/schema/scalar.ts';
import { effective, type Read, required, type Type } from '../../source/schema/type.ts';

/**
 * What is read of Kubernetes' own objects. They are open: most of their fields are the kubelet's or the scheduler's
 * business, so unknown ones are no mistake; the types of those read here are checked all the same.
 */
const open = { open: true } as const;

const ANYTHING: Type<unknown> = { name: 'any', message: null, enumeration: null, read: (value) => value };

const servicePort = message(
  'ServicePort',
  {
    name: effective(string),
    port: required(portNumber),
    protocol: effective(string),
    appProtocol: effective(string),
    targetPort: effective(intOrString),
  },
  open,
);

export const service = message(
  'Service',
  {
    spec: required(
      message(
        'ServiceSpec',
        {
          type: effective(string),
          clusterIP: effective(string),
          clusterIPs: effective(list(string)),
          ipFamilies: effective(list(string)),
          externalName: effective(string),
          selector: effective(map(string)),
          ports: effective(list(servicePort)),
          publishNotReadyAddresses: effective(bool),
          trafficDistribution: effective(string),
        },
        open,
      ),
    ),
  },
  open,
);

const targetRef = message(
  'ObjectReference',
  { kind: effective(string), name: effective(string), namespace: effective(string) },
  open,
);

export const endpointSlice = message(
  'EndpointSlice',
  {
    addressType: effective(string),
    endpoints: effective(
      list(
        message(
          'Endpoint',
          {
            addresses: required(list(string)),
            conditions: effective(
              message(
                'EndpointConditions',
                { ready: effective(bool), serving: effective(bool), terminating: effective(bool) },
                open,
              ),
            ),
            targetRef: effective(targetRef),
            nodeName: effective(string),
            zone: effective(string),
            hostname: effective(string),
            hints: effective(
              message(
                'EndpointHints',
                { forZones: effective(list(message('ForZone', { name: effective(string) }, open))) },
                open,
              ),
            ),
          },
          open,
        ),
      ),
    ),
    ports: effective(
      list(
        message(
          'EndpointPort',
          { name: effective(string), port: effective(portNumber), protocol: effective(string) },
          open,
        ),
      ),
    ),
  },
  open,
);

const endpointAddress = message(
  'EndpointAddress',
  {
    ip: required(ipAddress),
    nodeName: effective(string),
    hostname: effective(string),
    targetRef: effective(targetRef),
  },
  open,
);

export const endpoints = message(
  'Endpoints',
  {
    subsets: effective(
      list(
        message(
          'EndpointSubset',
          {
            addresses: effective(list(endpointAddress)),
            notReadyAddresses: effective(list(endpointAddress)),
            ports: effective(
              list(
                message(
                  'EndpointPort',
                  { name: effective(string), port: required(portNumber), protocol: effective(string) },
                  open,
                ),
              ),
            ),
          },
          open,
        ),
      ),
    ),
  },
  open,
);

const containerPort = message(
  'ContainerPort',
  { name: effective(string), containerPort: required(portNumber), protocol: effective(string) },
  open,
);

export const pod = message(
  'Pod',
  {
    spec: effective(
      message(
        'PodSpec',
        {
          serviceAccountName: effective(string),
          nodeName: effective(string),
          containers: effective(list(message('Container', { ports: effective(list(containerPort)) }, open))),
        },
        open,
      ),
    ),
    status: effective(
      message(
        'PodStatus',
        {
          phase: effective(string),
          podIP: effective(ipAddress),
          podIPs: effective(list(message('PodIP', { ip: effective(ipAddress) }, open))),
        },
        open,
      ),
    ),
  },
  open,
);

export const secret = message(
  'Secret',
  { type: effective(string), data: effective(map(string)), stringData: effective(map(string)) },
  open,
);

/** Only the mesh's own is looked into: what others hold is anybody's. */
export const configMap = message('ConfigMap', { data: effective(ANYTHING) }, open);

export const namespace = message('Namespace', {}, open);
export const node = message('Node', {}, open);

export type ServiceValue = Read<typeof service>;
export type EndpointSliceValue = Read<typeof endpointSlice>;
export type EndpointsValue = Read<typeof endpoints>;
export type ConfigMapValue = Read<typeof configMap>;
export type SecretValue = Read<typeof secret>;
export type PodValue = Read<typeof pod>;
