import type { EnumValue, Field, FieldState, Fields, Message } from '../../source/schema/type.ts';
import { DESTINATION_RULE_MESSAGES } from './fields/destination-rule.ts';
import { GATEWAY_MESSAGES } from './fields/gateway.ts';
import { PEER_AUTHENTICATION_MESSAGES } from './fields/peer-authentication.ts';
import { SERVICE_ENTRY_MESSAGES, WORKLOAD_ENTRY_MESSAGES } from './fields/service-entry.ts';
import { SIDECAR_MESSAGES } from './fields/sidecar.ts';
import { VIRTUAL_SERVICE_MESSAGES } from './fields/virtual-service.ts';

/** Every message of Istio's API that is read, by resource and by its name in the proto. */
export const ISTIO_MESSAGES: Readonly<Record<string, Readonly<Record<string, Message<Fields>>>>> = {
  VirtualService: VIRTUAL_SERVICE_MESSAGES as never,
  DestinationRule: DESTINATION_RULE_MESSAGES as never,
  Gateway: GATEWAY_MESSAGES as never,
  PeerAuthentication: PEER_AUTHENTICATION_MESSAGES as never,
  ServiceEntry: SERVICE_ENTRY_MESSAGES as never,
  WorkloadEntry: WORKLOAD_ENTRY_MESSAGES as never,
  Sidecar: SIDECAR_MESSAGES as never,
};

/** One row of the table of all fields: what the reference documentation is made from. */
export interface FieldRow {
  readonly resource: string;
  readonly message: string;
  /** The field, or the value of an enum. */
  readonly field: string;
  /** The proto's type without packages; `ENUM` for an enum's value. */
  readonly type: string;
  readonly state: Exclude<FieldState, 'required'>;
  readonly reason: string;
  readonly deprecated: boolean;
}

/** The state of every field and enum value of every Istio object that is read. */
export function fieldTable(): FieldRow[] {
  const rows: FieldRow[] = [];
  for (const [resource, messages] of Object.entries(ISTIO_MESSAGES)) {
    const enums = new Map<string, FieldRow[]>();
    for (const [name, message] of Object.entries(messages)) {
      for (const [key, field] of Object.entries(message.fields)) {
        rows.push(fieldRow(resource, name, key, field));
        const enumeration = field.type.enumeration;
        if (enumeration !== null) {
          const values = Object.entries(enumeration.values);
          enums.set(
            enumeration.name,
            values.map(([value, known]) => enumRow(resource, enumeration.name, value, known)),
          );
        }
      }
    }
    for (const values of enums.values()) rows.push(...values);
  }
  return rows;
}

function fieldRow(resource: string, message: string, key: string, field: Field): FieldRow {
  return {
    resource,
    message,
    field: key,
    type: field.type.name,
    state: field.state === 'required' ? 'effective' : field.state,
    reason: field.reason,
    deprecated: field.deprecated !== '',
  };
}

function enumRow(resource: string, message: string, value: string, known: EnumValue): FieldRow {
  return { resource, message, field: value, type: 'ENUM', state: known.state, reason: known.reason, deprecated: false };
}
