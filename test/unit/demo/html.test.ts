import { expect, test } from 'vitest';
import { html } from '../../../src/demo/html.ts';

test('values are escaped, markup made by the tag is not', () => {
  expect(html`<p title="${'"><script>'}">${[html`<b>${"a & 'b'"}</b>`, 3]}</p>`.text).toBe(
    '<p title="&quot;&gt;&lt;script&gt;"><b>a &amp; &#39;b&#39;</b>3</p>',
  );
});
