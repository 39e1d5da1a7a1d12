import type { RuntimeValues } from '../filters/filter.ts';

/** Envoy's runtime from the bootstrap's static layers: a fixed map, asked by key. */
export class StaticRuntime implements RuntimeValues {
  readonly values: ReadonlyMap<string, number | boolean | string>;

  constructor(values: ReadonlyMap<string, number | boolean | string>) {
    this.values = values;
  }
  number(key: string, fallback: number): number {
    const value = this.values.get(key);
    return typeof value === 'number' ? value : fallback;
  }
  boolean(key: string, fallback: boolean): boolean {
    const value = this.values.get(key);
    return typeof value === 'boolean' ? value : fallback;
  }
}
