import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** Istio's API, field by field, from its protos: step of ours, resource, message, field, type. Istio 1.31. */
const LIST = join(import.meta.dirname, '../golden/translate/istio-api.tsv');
const RESOURCES = [
  'VirtualService',
  'DestinationRule',
  'Gateway',
  'PeerAuthentication',
  'ServiceEntry',
  'WorkloadEntry',
  'Sidecar',
  'MeshConfig',
];

export interface ApiField {
  readonly step: number;
  readonly resource: string;
  readonly message: string;
  readonly field: string;
  readonly type: string;
}

/**
 * The fields of what we read. `ISTIO_FIELDS=FILE UPDATE_GOLDEN=1` makes the list anew, of a table of all fields with the
 * same columns.
 */
export function apiFields(): readonly ApiField[] {
  const { ISTIO_FIELDS: whole, UPDATE_GOLDEN } = process.env;
  if (UPDATE_GOLDEN === '1' && whole !== undefined) writeFileSync(LIST, ours(readFileSync(whole, 'utf8')));
  const lines = readFileSync(LIST, 'utf8').trimEnd().split('\n');
  return lines.map((line) => {
    const [step = '', resource = '', message = '', field = '', type = ''] = line.split('\t');
    return { step: Number(step), resource, message, field, type };
  });
}

function ours(table: string): string {
  const [, ...rows] = table.trimEnd().split('\n');
  const lines = rows.flatMap((row) => {
    const [step = '', resource = '', message = '', field = '', type = ''] = row.split('\t');
    if (!RESOURCES.includes(resource) || (resource === 'MeshConfig' && message !== resource)) return [];
    const short = type === 'ENUM' ? message.slice(message.lastIndexOf('.') + 1) : message;
    return [`${[step, resource, short, field, shortType(type)].join('\t')}\n`];
  });
  return lines.join('');
}

/** Without packages; those of protobuf itself are kept. */
function shortType(type: string): string {
  return type.replace(/(?<![\w.])(?!google\.)[\w.]+\.(\w+)/g, '$1');
}
