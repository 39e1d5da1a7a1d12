import { type Mesh, mesh } from './mesh.ts';
import { ends } from './mesh-leaks.ts';
import { file, service, split, versions } from './mesh-yaml.ts';

/** Services of a large mesh that nobody calls. */
export const OTHERS = Array.from({ length: 60 }, (_, i) => `other-${i}`);

/** Reviews and ratings among many others; whoever calls them is the test's to start, as `client`. */
export async function largeMesh(): Promise<Mesh> {
  return ends(
    await mesh()
      .yaml(
        'services.yaml',
        file(service('reviews'), service('ratings'), service('client'), ...OTHERS.map((name) => service(name))),
      )
      .yaml('rules.yaml', versions('reviews', 'v1', 'v2'))
      .yaml('reviews.yaml', split('reviews', { v1: 100 }))
      .sidecar('reviews', 'v1')
      .sidecar('reviews', 'v2')
      .sidecar('ratings')
      .start(),
  );
}
