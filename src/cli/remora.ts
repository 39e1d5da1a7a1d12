#!/usr/bin/env -S node --no-concurrent-recompilation --min-semi-space-size=4 --max-semi-space-size=4 --no-async-context-frame
import { precompiled } from './precompiled.ts';
import { PROXY_VERBS, type Verbs } from './verbs.ts';

/**
 * The verbs. Each is loaded only when it is asked for: a proxy must not pay, in time or memory, for the
 * control server or the demo.
 */
const VERBS: Verbs = {
  ...PROXY_VERBS,
  control: async () => (await import('./control.ts')).controlCommand(),
  inject: async () => (await import('./inject.ts')).injectCommand(),
  iptables: async () => (await import('./iptables/index.ts')).iptablesCommand(),
  install: async () => (await import('./install/index.ts')).installCommand(),
  wait: async () => (await import('./wait.ts')).waitCommand(),
  drain: async () => (await import('./drain.ts')).drainCommand(),
  gateway: async () => (await import('./gateway.ts')).gatewayCommand(),
  demo: async () => (await import('./demo/index.ts')).demoCommand(),
  explain: async () => (await import('./explain/index.ts')).explainCommand(),
  analyze: async () => (await import('./analyze.ts')).analyzeCommand(),
  elect: async () => (await import('./elect.ts')).electCommand(),
  status: async () => (await import('./status.ts')).statusCommand(),
};

const proxy = Object.hasOwn(PROXY_VERBS, process.argv[2] ?? '') ? precompiled('proxy', import.meta.url) : null;
if (proxy !== null) proxy.run();
else {
  // Compiled code of an earlier start is read back: it saves a third of the time to the first answer.
  process.getBuiltinModule('node:module').enableCompileCache?.();
  const { main } = await import('./main.ts');
  await main(VERBS);
}
