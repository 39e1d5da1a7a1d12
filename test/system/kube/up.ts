// An API server by hand: node test/system/kube/up.ts, then kubectl as it says; ends with Ctrl-C.
import { startKubeApi } from './api.ts';

const api = await startKubeApi();
await api.installCrds();
console.log(`export KUBECONFIG=${api.kubeconfig} PATH=${api.cache}/bin:$PATH`);
for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.once(signal, () => void api.close().then(() => process.exit(0)));
