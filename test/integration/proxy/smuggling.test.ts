import { describe, expect, test } from 'vitest';
import { Framing } from '../../../src/protocol/http/message.ts';
import { RequestParser } from '../../../src/protocol/http1/parser.ts';
import { eventually, proxy, scripted, turns } from '../../support/proxy.ts';
import { SMUGGLING_CASES } from '../../support/smuggling.ts';
import type { RawConnection } from '../../support/upstream.ts';

interface Seen {
  method: string;
  path: string;
  authority: string;
  body: string;
}

/** Reads what an upstream got with our own strict parser, answers each request, and notes it. */
function answering(connection: RawConnection, seen: Seen[], errors: string[]): void {
  let present: Seen | null = null;
  const parser = new RequestParser({
    onHead(head) {
      const { headers } = head;
      const lengths = headers.entries().filter(([name]) => name.toLowerCase() === 'content-length').length;
      const codings = headers.entries().filter(([name]) => name.toLowerCase() === 'transfer-encoding').length;
      if (lengths + codings > 1) errors.push('ambiguous framing');
      if (headers.entries().filter(([name]) => name.toLowerCase() === 'host').length !== 1) errors.push('not one Host');
      // eslint-disable-next-line no-control-regex
      if (/[^\t\x20-\xff\r\n]/.test(headers.raw)) errors.push('control octets');
      if (/(?<!\r)\n|\r(?!\n)|\n[ \t]/.test(headers.raw)) errors.push('bare CR, bare LF or a folded line');
      present = { method: head.method, path: head.path, authority: head.authority, body: '' };
      // A tunnel has no end.
      if (head.framing !== Framing.Tunnel) return;
      seen.push(present);
      connection.write('HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n');
    },
    onData(chunk, start, end) {
      present!.body += chunk.toString('latin1', start, end);
    },
    onTrailers() {},
    onEnd() {
      seen.push(present!);
      connection.write('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n');
    },
    onError(error) {
      if (error.code !== 'truncated') errors.push(`${error.code}: ${error.reason}`);
    },
  });
  connection.socket.on('data', (chunk) => parser.execute(Buffer.from(chunk)));
  if (connection.received !== '') parser.execute(Buffer.from(connection.received, 'latin1'));
}

describe.each(['whole', 'octet by octet'] as const)('sent %s', (how) => {
  test.each(SMUGGLING_CASES.map((item) => [`${item.group}: ${item.name}`, item] as const))(
    '%s',
    async (_name, item) => {
      const server = await scripted();
      const seen: Seen[] = [];
      const errors: string[] = [];
      server.server.on('connection', () => {
        const connection = server.connections.at(-1)!;
        answering(connection, seen, errors);
      });
      const p = await proxy()
        .cluster('a', server.port)
        .to('a')
        .route({ match: { safe_regex: { regex: '\\*' } }, route: { cluster: 'a' } })
        .route({ match: { connect_matcher: {} }, route: { cluster: 'a' } })
        .manager({
          http_protocol_options: { accept_http_10: true },
          upgrade_configs: [{ upgrade_type: 'CONNECT' }, { upgrade_type: 'websocket' }],
        })
        .start();
      const client = await p.client();
      // Long cases octet by octet would take minutes, and their length is their point.
      if (how === 'whole' || item.bytes.length > 600) {
        client.write(item.bytes);
      } else {
        for (const octet of item.bytes) {
          client.write(octet);
          await turns(1);
        }
      }
      const { verdict } = item;
      if (verdict.kind === 'refuse') {
        for (let i = 0; i < verdict.before; i++) expect((await client.response()).status).toBe(200);
        const response = await client.response();
        expect(response.status).toBe(verdict.status);
        expect(response.header('connection')).toBe('close');
        expect(await client.rest()).toBe('');
        expect(seen).toHaveLength(verdict.before);
        // A body that turns bad half way has sent its head and good part on; it must never look whole.
        for (const connection of server.connections) {
          if (seen.length === 0 && connection.received !== '') await connection.untilEnded();
        }
        const line = await p.log(verdict.before);
        expect(line.flags).toContain('DPE');
        expect(line.details).toMatch(/^http1\.codec_error\{|^low_version|_/);
      } else {
        await eventually(() => seen.length >= verdict.requests.length);
        await turns(5);
        expect(seen).toEqual(verdict.requests);
      }
      expect(errors).toEqual([]);
    },
  );
});
