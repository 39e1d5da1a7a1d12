import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { request } from 'node:http';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, test } from 'vitest';
import { startDetails } from '../../../src/demo/details.ts';
import type { RunningService } from '../../../src/demo/service.ts';

const running: RunningService[] = [];
afterEach(async () => {
  await Promise.all(running.splice(0).map((service) => service.close()));
});

async function details(): Promise<string> {
  const service = await startDetails({ pod: 'details-v1-abc' });
  running.push(service);
  return `http://127.0.0.1:${service.port}`;
}

describe('details', () => {
  test('answers the sample’s fields', async () => {
    const response = await fetch(`${await details()}/details/0`);
    expect(response.headers.get('x-bookinfo-pod')).toBe('details-v1-abc');
    expect(await response.json()).toEqual({
      id: 0,
      author: 'William Shakespeare',
      year: 1595,
      type: 'paperback',
      pages: 200,
      publisher: 'PublisherA',
      language: 'English',
      'ISBN-10': '1234567890',
      'ISBN-13': '123-1234567890',
    });
  });

  test('is healthy', async () => {
    expect(await (await fetch(`${await details()}/health`)).json()).toEqual({ status: 'Details is healthy' });
  });

  test.each([
    ['GET', '/details/abc', 400],
    ['GET', '/details/-1', 400],
    ['GET', '/nowhere', 404],
    ['POST', '/details/0', 405],
  ])('%s %s is refused with %i', async (method, path, status) => {
    const response = await fetch((await details()) + path, { method });
    expect(response.status).toBe(status);
    expect(await response.json()).toEqual({ error: expect.any(String) });
  });

  test('answers HEAD with the length and no body', async () => {
    const response = await fetch(`${await details()}/details/0`, { method: 'HEAD' });
    expect(Number(response.headers.get('content-length'))).toBeGreaterThan(100);
    expect(await response.text()).toBe('');
  });

  test('refuses a request target that is no URL', async () => {
    const base = await details();
    const sent = request(base, { path: 'http://[', agent: false }).end();
    const [response] = await once(sent, 'response');
    response.resume();
    expect(response.statusCode).toBe(400);
  });

  test('does not wait for idle kept-alive connections when it closes', async () => {
    const service = await startDetails();
    await (await fetch(`http://127.0.0.1:${service.port}/health`)).text();
    await service.close();
    await expect(fetch(`http://127.0.0.1:${service.port}/health`)).rejects.toThrow();
  });
});

describe('details as a process', () => {
  const file = fileURLToPath(new URL('../../../src/demo/details.ts', import.meta.url));
  const start = (env: Record<string, string>) => spawn(process.execPath, [file], { env: { ...process.env, ...env } });

  test.each(['SIGTERM', 'SIGINT'] as const)('says where it listens, and ends with 0 on %s', async (signal) => {
    const child = start({ PORT: '0' });
    const [line] = await once(createInterface(child.stdout), 'line');
    expect(line).toMatch(/^details listening on 127\.0\.0\.1:\d+$/);
    child.kill(signal);
    expect(await once(child, 'exit')).toEqual([0, null]);
  });

  test('says in one line why it cannot start', async () => {
    const child = start({ PORT: 'http' });
    const [[line], [code]] = await Promise.all([once(createInterface(child.stderr), 'line'), once(child, 'exit')]);
    expect(line).toBe('details: PORT must be a number from 0 to 65535, not "http"');
    expect(code).toBe(1);
  });
});
