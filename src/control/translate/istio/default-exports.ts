import type { DefaultExports } from '../../mesh/settings.ts';
import type { Decoded, KindName } from '../decoded.ts';
import { EXPORT_TO } from '../kubernetes/service.ts';

/**
 * Objects that do not say who sees them, as if they said what the mesh's config says (Istio's defaultServiceExportTo and
 * its like). The same object for the same object, so that whoever compares by identity sees what changed.
 */
export class ExportedObjects {
  readonly #exports: DefaultExports;
  readonly #known = new WeakMap<Decoded, Decoded>();

  constructor(exports: DefaultExports) {
    this.#exports = exports;
  }

  of(objects: readonly Decoded[]): readonly Decoded[] {
    const { services, virtualServices, destinationRules } = this.#exports;
    if (services.length + virtualServices.length + destinationRules.length === 0) return objects;
    return objects.map((decoded) => {
      let known = this.#known.get(decoded);
      if (known === undefined) {
        known = this.#withDefault(decoded);
        this.#known.set(decoded, known);
      }
      return known;
    });
  }

  #withDefault(decoded: Decoded): Decoded {
    const { services, virtualServices, destinationRules } = this.#exports;
    if (is(decoded, 'Service')) return withAnnotation(decoded, services);
    if (is(decoded, 'ServiceEntry')) return withField(decoded, services);
    if (is(decoded, 'VirtualService')) return withField(decoded, virtualServices);
    if (is(decoded, 'DestinationRule')) return withField(decoded, destinationRules);
    return decoded;
  }
}

function is<K extends KindName>(decoded: Decoded, kind: K): decoded is Decoded<K> {
  return decoded.kind === kind;
}

function withField<K extends 'ServiceEntry' | 'VirtualService' | 'DestinationRule'>(
  decoded: Decoded<K>,
  exportTo: readonly string[],
): Decoded<K> {
  const { value } = decoded;
  if (exportTo.length === 0 || (value.exportTo ?? []).length > 0) return decoded;
  return { ...decoded, value: { ...value, exportTo } };
}

function withAnnotation(decoded: Decoded<'Service'>, exportTo: readonly string[]): Decoded<'Service'> {
  const { object } = decoded;
  if (exportTo.length === 0 || (object.annotations[EXPORT_TO] ?? '').trim() !== '') return decoded;
  return { ...decoded, object: { ...object, annotations: { ...object.annotations, [EXPORT_TO]: exportTo.join(',') } } };
}
