import type { ConfigState } from '../source/collection.ts';
import { DecodedStore } from '../translate/decode.ts';
import { ExportedObjects } from '../translate/istio/default-exports.ts';
import { translate } from '../translate/istio/mesh.ts';
import type { TranslatedConfig } from '../translate/translator.ts';
import { analyze } from './analyze.ts';

/** All that can be said about objects: what translation finds and the mistakes that only show across them. */
export function examine(state: ConfigState): TranslatedConfig {
  const decoded = new DecodedStore().update(state.objects);
  const translation = translate(decoded.objects);
  const { mesh } = translation;
  // Who sees an object that does not say it is the mesh's to say.
  const across = analyze(new ExportedObjects(mesh.settings.exportTo).of(decoded.objects), mesh);
  return {
    mesh,
    findings: [...state.findings, ...decoded.findings, ...translation.findings, ...across],
  };
}
