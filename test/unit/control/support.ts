import type { ConfigObject, ConfigState } from '../../../src/control/source/collection.ts';
import { readObjects } from '../../../src/control/source/files/yaml.ts';

/** The objects of a YAML text, as a source would have them. */
export function stateOf(text: string, file = 'mesh.yaml'): ConfigState {
  return readObjects(text, file);
}

/** The only object of a YAML text. */
export function objectOf(text: string, file = 'mesh.yaml'): ConfigObject {
  const { objects, findings } = readObjects(text, file);
  const [object] = objects;
  if (object === undefined || objects.length !== 1) throw new Error(`expected one object: ${JSON.stringify(findings)}`);
  return object;
}
