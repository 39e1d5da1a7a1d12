import { connect, type Socket } from 'node:net';
import type { Clock } from '../../base/clock.ts';
import { messageOf } from '../../base/errors.ts';
import type { ResponseHead } from '../../protocol/http/message.ts';
import type { MessageEvents } from '../../protocol/http1/events.ts';
import { ResponseParser } from '../../protocol/http1/parser.ts';

/** Where the application beside this proxy listens, and whence it is called. */
export interface AppAddress {
  readonly host: string;
  /**
   * Source of the connection: 127.0.0.6 is what the rules let pass, where a call to the pod's own address would be
   * taken for one that goes to the proxy's inbound listener.
   */
  readonly localAddress?: string;
}

export interface HttpCall {
  readonly address: AppAddress;
  readonly port: number;
  /** TLS without a check of the certificate, as a kubelet probes. */
  readonly tls: boolean;
  readonly path: string;
  readonly headers: readonly (readonly [name: string, value: string])[];
  readonly timeoutMs: number;
  /** A body beyond this ends the call with an error; 0: the body is not read. */
  readonly maxBodyBytes: number;
}

export interface HttpAnswer {
  readonly status: number;
  readonly location: string;
  readonly body: Buffer;
}

const LIMITS = { maxHeadBytes: 16 * 1024, maxHeaders: 100 };

/** One GET on a connection of its own. Rejects with one line that says why there is no answer. */
export async function callHttp(call: HttpCall, clock: Clock): Promise<HttpAnswer> {
  const socket = call.tls ? await tlsSocket(call) : connect(socketOptions(call));
  return new Promise((resolve, reject) => {
    const exchange = new Exchange(call, (answer) => {
      timer.cancel();
      socket.destroy();
      if (answer instanceof Error) reject(answer);
      else resolve(answer);
    });
    const timer = clock.after(call.timeoutMs, () => exchange.fail(`no answer in ${call.timeoutMs / 1000} s`));
    socket.on('error', (error) => exchange.fail(messageOf(error)));
    socket.on('data', (chunk: Buffer) => exchange.parser.execute(chunk));
    socket.on('end', () => exchange.parser.finish());
    socket.on('close', () => exchange.fail('the connection was closed'));
    socket.write(requestText(call), 'latin1');
  });
}

export function socketOptions({ address, port }: Pick<HttpCall, 'address' | 'port'>) {
  const { host, localAddress } = address;
  return { host, port, noDelay: true, ...(localAddress === undefined ? {} : { localAddress }) };
}

/** Loaded for those alone who have such a probe. */
async function tlsSocket(call: HttpCall): Promise<Socket> {
  const tls = await import('node:tls');
  return tls.connect({ ...socketOptions(call), rejectUnauthorized: false });
}

function requestText({ address, port, path, headers }: HttpCall): string {
  const named = new Set(headers.map(([name]) => name.toLowerCase()));
  const host = address.host.includes(':') ? `[${address.host}]` : address.host;
  let text = `GET ${path} HTTP/1.1\r\n`;
  if (!named.has('host')) text += `Host: ${host}:${port}\r\n`;
  if (!named.has('user-agent')) text += 'User-Agent: kube-probe/remora\r\n';
  if (!named.has('accept')) text += 'Accept: */*\r\n';
  for (const [name, value] of headers) text += `${name}: ${value}\r\n`;
  return `${text}Connection: close\r\n\r\n`;
}

class Exchange implements MessageEvents<ResponseHead> {
  readonly parser = new ResponseParser(this, LIMITS);
  readonly #maxBodyBytes: number;
  #done: ((answer: HttpAnswer | Error) => void) | null;
  #status = 0;
  #location = '';
  #bytes = 0;
  readonly #body: Buffer[] = [];

  constructor({ maxBodyBytes }: HttpCall, done: (answer: HttpAnswer | Error) => void) {
    this.#maxBodyBytes = maxBodyBytes;
    this.#done = done;
    this.parser.expect('GET');
  }

  onHead(head: ResponseHead): void {
    if (head.status < 200) return;
    this.#status = head.status;
    this.#location = head.headers.get('location') ?? '';
    if (this.#maxBodyBytes === 0) this.#finish();
  }
  onData(chunk: Buffer, start: number, end: number): void {
    this.#bytes += end - start;
    if (this.#bytes > this.#maxBodyBytes) this.fail(`the answer is larger than ${this.#maxBodyBytes} bytes`);
    else this.#body.push(Buffer.from(chunk.subarray(start, end)));
  }
  onTrailers(): void {}
  onEnd(): void {
    if (this.#status >= 200) this.#finish();
  }
  onError({ reason }: { readonly reason: string }): void {
    this.fail(reason);
  }

  fail(why: string): void {
    const done = this.#done;
    this.#done = null;
    done?.(new Error(why));
  }
  #finish(): void {
    const done = this.#done;
    this.#done = null;
    done?.({ status: this.#status, location: this.#location, body: Buffer.concat(this.#body) });
  }
}
