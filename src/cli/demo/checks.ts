import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { messageOf } from '../../base/errors.ts';
import { type DemoMesh, pause } from './mesh.ts';
import { describeSplit, shareOf, type Visit, Visitor } from './visitor.ts';

/** How long a change of the YAML may take to show in traffic. */
const CHANGE_MS = 10_000;

type Print = (line: string) => void;

/** Checks what the demo promises, over real sockets. Prints a line for each and answers how many failed. */
export async function runChecks(mesh: DemoMesh, print: Print): Promise<number> {
  let failed = 0;
  for (const [name, check] of CHECKS) {
    const start = performance.now();
    try {
      const seen = await check(mesh);
      print(`  ok    ${name}: ${seen} (${((performance.now() - start) / 1000).toFixed(1)} s)`);
    } catch (error) {
      failed++;
      print(`  FAIL  ${name}: ${messageOf(error)}`);
    }
  }
  print(`${CHECKS.length - failed} of ${CHECKS.length} checks passed`);
  if (failed > 0) print(lastLines(mesh));
  return failed;
}

const CHECKS: readonly (readonly [name: string, check: (mesh: DemoMesh) => Promise<string>])[] = [
  ['the page', thePage],
  ['all versions by default', allVersions],
  ['all traffic to v1', allV1],
  ['90/10', ninetyTen],
  ['50/50 of v2 and v3', fiftyFifty],
  ['user jason to v2', jasonToV2],
  ['delay injected for jason', delayForJason],
  ['abort injected for jason', abortForJason],
  ['timeout and retries', timeoutAndRetries],
  ['a breaker ejects the sick', breakerEjects],
  ['rate limit', rateLimit],
  ['a killed instance costs no request', killedInstance],
  ['broken YAML changes nothing and is explained', brokenYaml],
  ['the control server away', controlAway],
];

async function thePage(mesh: DemoMesh): Promise<string> {
  const visit = await new Visitor(mesh.url).get('/productpage');
  expect(visit.status === 200, `status ${visit.status}`);
  for (const part of ['The Comedy of Errors', 'PublisherA', 'Reviewer1']) {
    expect(visit.body.includes(part), `the page lacks ${JSON.stringify(part)}`);
  }
  return `${visit.body.length} characters of HTML in ${Math.round(visit.ms)} ms`;
}

async function allVersions(mesh: DemoMesh): Promise<string> {
  const visits = await new Visitor(mesh.url).visit(60);
  for (const version of ['v1', 'v2', 'v3']) expect(shareOf(visits, version) > 0.1, describeSplit(visits));
  return describeSplit(visits);
}

async function allV1(mesh: DemoMesh): Promise<string> {
  mesh.use('try/reviews-v1.yaml', 'reviews.yaml');
  return settled(mesh, 60, (visits) => shareOf(visits, 'v1') === 1);
}

async function ninetyTen(mesh: DemoMesh): Promise<string> {
  mesh.use('try/reviews-90-10.yaml', 'reviews.yaml');
  // 300 draws at 10 %: four standard deviations are 7 points.
  return settled(mesh, 300, (visits) => Math.abs(shareOf(visits, 'v3') - 0.1) < 0.07 && shareOf(visits, 'v2') === 0);
}

async function fiftyFifty(mesh: DemoMesh): Promise<string> {
  mesh.use('try/reviews-50-v2-v3.yaml', 'reviews.yaml');
  return settled(mesh, 200, (visits) => Math.abs(shareOf(visits, 'v2') - 0.5) < 0.14 && shareOf(visits, 'v1') === 0);
}

async function jasonToV2(mesh: DemoMesh): Promise<string> {
  mesh.use('try/reviews-jason-v2.yaml', 'reviews.yaml');
  await settled(mesh, 20, (visits) => shareOf(visits, 'v1') === 1);
  const jason = await signedIn(mesh, 'jason');
  const visits = await jason.visit(20);
  expect(shareOf(visits, 'v2') === 1, `jason: ${describeSplit(visits)}`);
  return `jason: ${describeSplit(visits)}; others: v1 100 %`;
}

async function delayForJason(mesh: DemoMesh): Promise<string> {
  mesh.use('try/ratings-delay.yaml', 'ratings.yaml');
  const jason = await signedIn(mesh, 'jason');
  const visit = await until(
    () => jason.reviews(),
    ({ ms }) => ms >= 1900,
    'jason is not delayed',
  );
  expect(visit.status === 200, `status ${visit.status}`);
  const other = await new Visitor(mesh.url).reviews();
  expect(other.ms < 1000, `others waited ${Math.round(other.ms)} ms`);
  return `jason waited ${(visit.ms / 1000).toFixed(1)} s, others ${Math.round(other.ms)} ms`;
}

async function abortForJason(mesh: DemoMesh): Promise<string> {
  mesh.use('try/ratings-abort.yaml', 'ratings.yaml');
  const jason = await signedIn(mesh, 'jason');
  const text = 'Ratings service is currently unavailable';
  const visit = await until(
    () => jason.reviews(),
    ({ body }) => body.includes(text),
    'ratings still answer jason',
  );
  const other = await new Visitor(mesh.url).reviews();
  expect(!other.body.includes(text), 'others see the abort too');
  mesh.remove('ratings.yaml');
  return `jason: "${text}" in ${Math.round(visit.ms)} ms, others unaffected`;
}

async function timeoutAndRetries(mesh: DemoMesh): Promise<string> {
  mesh.use('try/timeout-retry.yaml', 'reviews.yaml');
  const visitor = new Visitor(mesh.url);
  await until(
    () => visitor.reviews(),
    ({ version }) => version === 'v2',
    'v2 does not answer',
  );
  const visits = await visitor.visit(60);
  const good = visits.filter(({ version }) => version === 'v2').length;
  const slowest = Math.max(...visits.map(({ ms }) => ms));
  // Half of the calls are slow: 7 of 8 come through with two retries, half would without. 60 draws, four deviations.
  expect(good >= 41, `only ${good} of 60 came through`);
  expect(slowest < 1500, `the slowest took ${Math.round(slowest)} ms`);
  mesh.remove('reviews.yaml');
  return `${good} of 60 through with two retries, the slowest in ${Math.round(slowest)} ms`;
}

async function breakerEjects(mesh: DemoMesh): Promise<string> {
  mesh.use('try/breaker.yaml', 'destination-rules.yaml');
  const visitor = new Visitor(mesh.url);
  await settled(mesh, 30, (visits) => shareOf(visits, 'v3') > 0.1 && shareOf(visits, 'v1') > 0.1);
  const { appPort } = mesh.instances.get('reviews-v3')!;
  const sick = (status: number): Promise<Response> =>
    fetch(`http://127.0.0.1:${appPort}/sick?status=${status}`, { method: 'POST' });
  await (await sick(503)).arrayBuffer();
  const during: Visit[] = [];
  await until(
    async () => {
      during.push(await visitor.reviews());
      return during.slice(-30);
    },
    (last) => last.length === 30 && last.every(({ status }) => status === 200),
    'the sick instance is still called',
  );
  const errors = during.filter(({ status }) => status !== 200).length;
  await (await sick(0)).arrayBuffer();
  const back = await until(
    () => visitor.reviews(),
    ({ version }) => version === 'v3',
    'v3 does not come back',
    30_000,
  );
  mesh.use('destination-rules.yaml', 'destination-rules.yaml');
  return `ejected after ${errors} errors, back when it was well (${back.version})`;
}

async function rateLimit(mesh: DemoMesh): Promise<string> {
  mesh.use('try/rate-limit.yaml', 'rate-limit.yaml');
  const visitor = new Visitor(mesh.url);
  const limited = await until(
    () => visitor.reviews(),
    ({ status }) => status === 429,
    'nothing is limited',
  );
  expect(limited.headers.has('x-ratelimit-limit'), 'the 429 has no x-ratelimit-limit');
  mesh.remove('rate-limit.yaml');
  await until(
    () => visitor.reviews(),
    ({ status }) => status === 200,
    'the limit stays',
  );
  return `429, x-ratelimit-limit ${limited.headers.get('x-ratelimit-limit')}: ${firstLine(limited.body)}`;
}

async function killedInstance(mesh: DemoMesh): Promise<string> {
  writeFileSync(join(mesh.live, 'reviews.yaml'), RETRYING);
  await settled(mesh, 30, (visits) => shareOf(visits, 'v2') > 0.1);
  const visitor = new Visitor(mesh.url);
  const visits: Visit[] = [];
  let over = false;
  const load = Promise.all(
    Array.from({ length: 4 }, async () => {
      while (!over) visits.push(await visitor.reviews());
    }),
  );
  await pause(300);
  const before = visits.length;
  // Sidecar and service at once, without a word: a machine that fell over.
  const { process: victim } = mesh.instances.get('reviews-v2')!;
  await victim.kill();
  await until(
    async () => visits.slice(-60),
    (last) => visits.length > before + 100 && shareOf(last, 'v2') === 0,
    'the dead is still called',
  );
  over = true;
  await load;
  const failures = visits.filter(({ status }) => status !== 200);
  expect(failures.length === 0, `${failures.length} of ${visits.length} failed: ${firstLine(failures[0]?.body ?? '')}`);
  await mesh.startInstance('reviews', 'v2');
  await until(
    () => visitor.reviews(),
    ({ version }) => version === 'v2',
    'v2 does not come back',
    20_000,
  );
  mesh.remove('reviews.yaml');
  return `0 of ${visits.length} requests failed, and v2 came back`;
}

async function brokenYaml(mesh: DemoMesh): Promise<string> {
  mesh.use('try/reviews-v1.yaml', 'reviews.yaml');
  await settled(mesh, 30, (visits) => shareOf(visits, 'v1') === 1);
  writeFileSync(join(mesh.live, 'reviews.yaml'), BROKEN);
  const said = await until(
    async () =>
      readFileSync(mesh.control!.logFile, 'utf8')
        .split('\n')
        .find((line) => line.includes('weigth')) ?? '',
    (line) => line !== '',
    'the control server says nothing about the broken file',
  );
  const visits = await new Visitor(mesh.url).visit(20);
  expect(shareOf(visits, 'v1') === 1, describeSplit(visits));
  return said.slice(said.indexOf('reviews.yaml'));
}

async function controlAway(mesh: DemoMesh): Promise<string> {
  await mesh.control!.kill();
  const visitor = new Visitor(mesh.url);
  const away = await visitor.visit(40);
  expect(
    away.every(({ status }) => status === 200),
    `while away: ${describeSplit(away)}`,
  );
  mesh.use('try/reviews-50-v2-v3.yaml', 'reviews.yaml');
  await mesh.startControl();
  const split = await settled(
    mesh,
    100,
    (visits) => Math.abs(shareOf(visits, 'v2') - 0.5) < 0.2 && shareOf(visits, 'v1') === 0,
    60_000,
  );
  return `40 of 40 answered while it was away, new config when it was back: ${split}`;
}

/** Retries for whatever a dying instance does to an idempotent call. */
const RETRYING = `apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: reviews, namespace: default }
spec:
  hosts: [reviews]
  http:
    - route: [{ destination: { host: reviews } }]
      retries: { attempts: 3, retryOn: "5xx,reset,connect-failure" }
`;

const BROKEN = `apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: reviews, namespace: default }
spec:
  hosts: [reviews]
  http:
    - route:
        - destination: { host: reviews, subset: v3 }
          weigth: 100
`;

/** Visits until the last `count` satisfy `good`; answers their split. */
async function settled(
  mesh: DemoMesh,
  count: number,
  good: (visits: readonly Visit[]) => boolean,
  ms = CHANGE_MS,
): Promise<string> {
  const visitor = new Visitor(mesh.url);
  const deadline = performance.now() + ms;
  let visits: Visit[] = [];
  do {
    visits = await visitor.visit(count);
    if (visits.every(({ status }) => status === 200) && good(visits)) return describeSplit(visits);
  } while (performance.now() < deadline);
  throw new Error(`after ${ms / 1000} s: ${describeSplit(visits)}`);
}

async function until<T>(
  get: () => Promise<T>,
  good: (value: T) => boolean,
  complaint: string,
  ms = CHANGE_MS,
): Promise<T> {
  const deadline = performance.now() + ms;
  for (;;) {
    const value = await get();
    if (good(value)) return value;
    if (performance.now() > deadline) throw new Error(`${complaint} after ${ms / 1000} s`);
    await pause(20);
  }
}

async function signedIn(mesh: DemoMesh, user: string): Promise<Visitor> {
  const visitor = new Visitor(mesh.url);
  await visitor.signIn(user);
  return visitor;
}

function expect(condition: boolean, complaint: string): void {
  if (!condition) throw new Error(complaint);
}

function firstLine(text: string): string {
  return (
    text
      .split('\n')
      .find((line) => line.trim() !== '')
      ?.trim() ?? ''
  );
}

/** The end of each log, for a run that failed far away. */
function lastLines(mesh: DemoMesh): string {
  const logs = ['control', 'gateway', ...mesh.instances.keys()];
  return logs
    .map(
      (name) =>
        `--- ${name}\n${readFileSync(join(mesh.processes.logFolder, `${name}.log`), 'utf8')
          .trimEnd()
          .split('\n')
          .slice(-12)
          .join('\n')}`,
    )
    .join('\n');
}
