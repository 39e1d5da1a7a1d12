import type { Mesh } from '../mesh/mesh.ts';
import type { ConfigState, Finding } from '../source/collection.ts';
import { DecodedStore } from './decode.ts';
import { type Translation, translate } from './istio/mesh.ts';

export interface TranslatedConfig {
  readonly mesh: Mesh;
  /** Of reading, decoding and translating, in this order: what stands between the files and the mesh. */
  readonly findings: readonly Finding[];
}

/** From what a source holds to the mesh, keeping what did not change. One for each source. */
export class Translator {
  readonly #store = new DecodedStore();
  #previous: Translation | undefined;

  update(state: ConfigState): TranslatedConfig {
    const decoded = this.#store.update(state.objects);
    const translation = translate(decoded.objects, this.#previous);
    this.#previous = translation;
    return { mesh: translation.mesh, findings: [...state.findings, ...decoded.findings, ...translation.findings] };
  }
}
