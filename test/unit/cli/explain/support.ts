import { readFileSync } from 'node:fs';
import type { Answer, Question } from '../../../../src/cli/explain/answer.ts';
import { explainState } from '../../../../src/cli/explain/offline.ts';
import { readObjects } from '../../../../src/control/source/files/yaml.ts';
import { bookinfoInstances } from '../../../simulation/bookinfo.ts';

const BASE = ['services.yaml', 'gateway.yaml', 'destination-rules.yaml'];

export interface Case {
  /** Files of config/bookinfo/try. */
  readonly tries?: readonly string[];
  /** More YAML, as `more.yaml`. */
  readonly yaml?: string;
  readonly headers?: Question['headers'];
  readonly from?: string;
  readonly without?: readonly string[];
  readonly method?: string;
}

/** The answer for one request to Bookinfo, its six instances up but those of `without`. */
export function explain(
  url: string,
  { tries = [], yaml = '', headers = [], from, without, method = 'GET' }: Case = {},
): Promise<Answer> {
  const base = tries.includes('breaker.yaml') ? BASE.slice(0, 2) : BASE;
  const texts = [...base, ...tries.map((name) => `try/${name}`)].map((name) => [name, bookinfo(name)] as const);
  const read = [...texts, ['instances.yaml', bookinfoInstances(without)] as const, ['more.yaml', yaml] as const].map(
    ([name, text]) => readObjects(text, name),
  );
  const state = { objects: read.flatMap((one) => one.objects), findings: read.flatMap((one) => one.findings) };
  const question = { method, url, headers, namespace: 'default', ...(from === undefined ? {} : { from }) };
  return explainState(state, ['bookinfo'], 'bookinfo', question);
}

function bookinfo(name: string): string {
  return readFileSync(new URL(`../../../../config/bookinfo/${name}`, import.meta.url), 'utf8');
}
