import { describe, expect, it } from 'vitest';
import { readSettings } from '../../../../src/control/injector/read-settings.ts';
import { defaultSettings } from '../../../../src/control/injector/settings.ts';

const defaults = defaultSettings('1');
const read = (text: string) => readSettings(text, 'settings.yaml', defaults);

describe('settings of injection', () => {
  it('are the defaults but for what a file says', () => {
    expect(read('')).toEqual(defaults);
    const text = 'image: a:2\nnativeSidecar: false\nresources: {limits: {}}\nports: {health: 16021}\n';
    expect(read(text)).toEqual({
      ...defaults,
      image: 'a:2',
      nativeSidecar: false,
      resources: { ...defaults.resources, limits: {} },
      ports: { ...defaults.ports, health: 16021 },
    });
  });
  it.each([
    ['imag: a', 'imag: is no setting of injection: did you mean "image"?'],
    ['nativeSidecar: "yes"', 'nativeSidecar: expected a boolean'],
    ['interceptionMode: MAGIC', 'must be one of REDIRECT, TPROXY, NONE'],
    ['ports: {health: 0}', 'ports.health: must be a port'],
    ['resources: {requests: {cpu: 1}}', 'resources.requests.cpu: expected a string'],
    ['ports: {health: 15001}', 'ports.health: is that of ports.outbound too'],
    ['proxyUser: 0', 'proxyUser: must be the number of a user that is not root'],
    ['[]', 'the file: expected an object'],
    ['a: [', 'is not YAML'],
  ])('name what is wrong: %s', (text, message) => expect(() => read(text)).toThrow(message));
});
