import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { resourceEntry } from '../../src/control/serve/snapshot.ts';
import { NAME_TABLE as NAMES_URL } from '../../src/control/serve/type-urls.ts';
import type { NameEntry } from '../../src/model/name-table.ts';
import { decodersOf } from '../../src/xds/client/resource-decoder.ts';
import { NameTable } from '../../src/xds/proto/gen/istio/networking/nds/v1.ts';
import { decodeContext } from '../../src/xds/resources/context.ts';
import { NAME_TABLE } from '../../src/xds/resources/name-table.ts';
import { controlPlane, reached, testDecoders } from '../support/control-plane.ts';
import { adsClient } from './ads-client.ts';

const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

const decoders = () => [...testDecoders(), ...decodersOf([NAME_TABLE], decodeContext({}))];
const host = (name: string, ip: string) => resourceEntry(NameTable, { table: { [name]: { ips: [ip] } } }, name);
const text = (entries: readonly NameEntry[] | null): string =>
  entries === null
    ? 'unknown'
    : entries
        .map((entry) => `${entry.host}=${entry.addresses.join()}`)
        .toSorted()
        .join(' ');

describe.each(['sotw', 'delta'] as const)('names over ADS, %s', (mode) => {
  it('come, change one by one and go', async () => {
    const plane = await controlPlane().cluster('a', 1).http('in', 8080, 'a').start();
    closers.push(() => plane.stop());
    plane.source.put(host('a.example', '10.0.0.1'), host('b.example', '10.0.0.2'));
    const { config, responses } = adsClient(plane.address, mode, { decoders: decoders(), names: true });
    closers.push(() => config.close());
    await reached(config.names, (names) => text(names) === 'a.example=10.0.0.1 b.example=10.0.0.2');
    await plane.synced();

    const [unchanged] = config.names.value!.filter((entry) => entry.host === 'a.example');
    responses.length = 0;
    plane.source.put(host('b.example', '10.0.0.3'));
    plane.push();
    await reached(config.names, (names) => text(names) === 'a.example=10.0.0.1 b.example=10.0.0.3');
    // In delta only what changed; what did not is the object that it was.
    expect(responses.map((response) => [response.type_url, response.resources?.length])).toEqual([
      [NAMES_URL, mode === 'delta' ? 1 : 2],
    ]);
    if (mode === 'delta') expect(config.names.value).toContain(unchanged);

    plane.source.remove(NameTable, 'a.example');
    plane.push();
    await reached(config.names, (names) => text(names) === 'b.example=10.0.0.3');
  });

  it('are not asked for by who does not want them', async () => {
    const plane = await controlPlane().cluster('a', 1).http('in', 8080, 'a').start();
    closers.push(() => plane.stop());
    plane.source.put(host('a.example', '10.0.0.1'));
    const { config, responses } = adsClient(plane.address, mode, { decoders: decoders() });
    closers.push(() => config.close());
    await reached(config.ready, Boolean);
    await plane.synced();
    expect(responses.filter((response) => response.type_url === NAMES_URL)).toEqual([]);
    expect(config.names.value).toBeNull();
  });

  it('are there after a start without the server', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'remora-names-'));
    closers.push(() => rmSync(folder, { recursive: true, force: true }));
    const lastGood = { path: join(folder, 'last-good'), ttlMs: 60_000 };
    const plane = await controlPlane().cluster('a', 1).http('in', 8080, 'a').start();
    plane.source.put(host('a.example', '10.0.0.1'));
    const { address } = plane;
    const first = adsClient(address, mode, { decoders: decoders(), names: true, lastGood });
    await reached(first.config.ready, Boolean);
    await reached(first.config.names, (names) => text(names) === 'a.example=10.0.0.1');
    await plane.synced();
    plane.source.put(host('b.example', '10.0.0.2'));
    plane.push();
    await reached(first.config.names, (names) => names?.length === 2);
    await first.config.close();
    await plane.stop();
    const second = adsClient(address, mode, {
      decoders: decoders(),
      names: true,
      lastGood,
      serverGraceMs: 1,
    });
    closers.push(() => second.config.close());
    await reached(second.config.names, (names) => text(names) === 'a.example=10.0.0.1 b.example=10.0.0.2');
    expect(second.config.status.source).toBe('disk');
  });
});
