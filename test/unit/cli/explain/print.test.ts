import { stripVTControlCharacters } from 'node:util';
import { describe, expect, it } from 'vitest';
import { formatAnswer } from '../../../../src/cli/explain/print.ts';
import { COLOURS, PLAIN } from '../../../../src/cli/output.ts';
import { explain } from './support.ts';

describe('the answer for people', () => {
  it('is a line for each step, aligned, the outcome last', async () => {
    const answer = await explain('http://reviews:9080/reviews/0', {
      tries: ['timeout-retry.yaml'],
      headers: [['end-user', 'jason']],
      from: 'productpage',
    });
    expect(formatAnswer(answer, PLAIN)).toBe(`GET http://reviews:9080/reviews/0
  end-user: jason
asked: the sidecar of productpage; config: bookinfo

listener      http_proxy
virtual host  reviews.default.svc.cluster.local:9080 (domain reviews:9080 covers "reviews:9080")
route         ✓ #0 bounded: path begins with "/"
                VirtualService default/reviews (try/timeout-retry.yaml:14) http[0]
filter        fault, cors, local_ratelimit, dynamic_forward_proxy: nothing to do by the routes
cluster       outbound|9080|v2|reviews.default.svc.cluster.local
                DestinationRule default/reviews (destination-rules.yaml:28) subset v2
subset        v2
endpoints     1 of 1 healthy, least request
                127.0.0.1:31005  healthy  reviews-v2
sent as       reviews:9080/reviews/0
timeouts      whole answer 500 ms, one try 150 ms, connecting 10 s, idle 5 min
retries       up to 2, on gateway-error, connect-failure, refused-stream

→ reviews v2 at 127.0.0.1:31005 (1 healthy endpoint)
`);
  });

  it('says why each route did not match, and an origin once for the matches of a rule', async () => {
    const text = formatAnswer(await explain('http://127.0.0.1:8080/admin'), PLAIN);
    expect(text).toContain('✗ #4 productpage wants: path begins with "/api/v1/products"; but the path is "/admin"');
    expect(text.match(/VirtualService default\/bookinfo \(gateway.yaml:31\) http\[0\]/g)).toHaveLength(1);
  });

  it('has colours only where they are asked for', async () => {
    const answer = await explain('http://reviews:9080/');
    expect(formatAnswer(answer, PLAIN)).not.toContain('\x1b');
    const coloured = formatAnswer(answer, COLOURS);
    expect(coloured).toContain('\x1b[32m');
    expect(stripVTControlCharacters(coloured)).toBe(formatAnswer(answer, PLAIN));
  });
});
