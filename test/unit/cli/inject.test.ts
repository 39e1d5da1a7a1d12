import { describe, expect, it } from 'vitest';
import { drainCommand } from '../../../src/cli/drain.ts';
import { iptablesCommand } from '../../../src/cli/iptables/index.ts';
import { proxyCommand } from '../../../src/cli/proxy.ts';
import { waitCommand } from '../../../src/cli/wait.ts';
import { injectPod } from '../../../src/control/injector/inject-pod.ts';
import { applyPatch } from '../../../src/control/injector/json-patch.ts';
import { defaultSettings, type InjectionSettings } from '../../../src/control/injector/settings.ts';

interface Container {
  readonly name: string;
  readonly args: string[];
  readonly lifecycle?: Readonly<Record<string, { readonly exec?: { readonly command: string[] } }>>;
}

function injected(settings: InjectionSettings, annotations: Record<string, string>): Container[] {
  const pod = { metadata: { annotations }, spec: { containers: [{ name: 'a', args: [] }] } };
  const workload = { apiVersion: 'apps/v1', kind: 'Deployment', namespace: 'default', name: 'a' };
  const result = injectPod(pod, { settings, workload, namespaceLabels: null, otherwise: true });
  if (result.kind !== 'injected') throw new Error(JSON.stringify(result));
  const { spec } = applyPatch(pod, result.patch) as { spec: { containers: Container[]; initContainers: Container[] } };
  return [...spec.initContainers, ...spec.containers];
}

describe('what injection writes into command lines', () => {
  const commands = { iptables: iptablesCommand, proxy: proxyCommand, wait: waitCommand, drain: drainCommand };

  it.each([
    ['with Istio’s defaults', {}, {}],
    ['of a classic sidecar', { nativeSidecar: false, captureDns: true }, {}],
    [
      'with every annotation',
      {},
      {
        'traffic.sidecar.istio.io/includeInboundPorts': '',
        'traffic.sidecar.istio.io/excludeInboundPorts': '1,2',
        'traffic.sidecar.istio.io/includeOutboundPorts': '3',
        'traffic.sidecar.istio.io/excludeOutboundPorts': '4',
        'traffic.sidecar.istio.io/includeOutboundIPRanges': '10.0.0.0/8',
        'traffic.sidecar.istio.io/excludeOutboundIPRanges': '10.1.0.0/16',
        'traffic.sidecar.istio.io/excludeInterfaces': 'net1',
        'istio.io/reroute-virtual-interfaces': 'virt0',
        'sidecar.istio.io/interceptionMode': 'TPROXY',
        'sidecar.istio.io/logLevel': 'debug',
        'proxy.istio.io/config':
          '{drainDuration: 5s, proxyAdminPort: 16000, discoveryAddress: "a:1", proxyMetadata: {ISTIO_META_DNS_CAPTURE: "true"}}',
      },
    ],
  ])('is what those commands take: %s', (_what, settings, annotations) => {
    const containers = injected({ ...defaultSettings('1'), ...settings }, annotations as Record<string, string>);
    const lines = containers.flatMap(({ args, lifecycle = {} }) => [
      args,
      // The application's own has no command: it sleeps.
      ...Object.values(lifecycle).flatMap(({ exec }) => (exec === undefined ? [] : [exec.command.slice(1)])),
    ]);
    const verbs = lines.flatMap(([verb, ...args]) => {
      if (verb === undefined) return [];
      const command = commands[verb as keyof typeof commands]().exitOverride();
      expect(command.parseOptions(args)).toMatchObject({ operands: [], unknown: [] });
      return [verb];
    });
    expect(verbs).toContain('iptables');
    expect(verbs).toContain('proxy');
    expect(verbs).toContain('drain');
  });
});
