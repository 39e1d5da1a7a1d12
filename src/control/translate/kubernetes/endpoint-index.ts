import { isDeepStrictEqual } from 'node:util';
import type { MeshService } from '../../mesh/service.ts';
import type { Finding } from '../../source/collection.ts';
import type { Decoded, DecodedChange } from '../decoded.ts';
import type { MtlsPolicies } from '../peer-authentication.ts';
import { mirrorEndpoints, SERVICE_NAME, sliceEndpoints } from './endpoint-slice.ts';
import type { NodeIndex } from './node.ts';
import { PodIndex } from './pod.ts';
import { meshService, prefersIpv6, servicePorts } from './service.ts';

type Service = Decoded<'Service'>;
type EndpointSlice = Decoded<'EndpointSlice'>;
type Endpoints = Decoded<'Endpoints'>;
type Pod = Decoded<'Pod'>;

export interface MadeService {
  readonly service: MeshService;
  readonly findings: readonly Finding[];
}

/** What a service is made from, and how. */
export interface ServiceParts {
  readonly service: Service;
  /** All objects that it depends on. */
  readonly inputs: readonly unknown[];
  make(): MadeService;
}

/** Services with the slices, pods and nodes behind them, all by `namespace/name`. Follows changes of slices and pods. */
export class EndpointIndex {
  readonly #services: ReadonlyMap<string, Service>;
  readonly #slices: Map<string, readonly EndpointSlice[]>;
  readonly #older: ReadonlyMap<string, Endpoints>;
  readonly #mirrored = new WeakMap<Endpoints, readonly EndpointSlice[]>();
  readonly #pods: PodIndex;
  readonly #nodes: NodeIndex;
  readonly #mtls: MtlsPolicies;
  /** Which services' slices name a pod; made when a pod changes first. */
  #users: Map<string, Set<string>> | null = null;

  constructor(
    services: readonly Service[],
    slices: readonly EndpointSlice[],
    older: readonly Endpoints[],
    pods: readonly Pod[],
    nodes: NodeIndex,
    mtls: MtlsPolicies,
  ) {
    this.#services = new Map(services.map((one) => [keyOf(one), one]));
    this.#slices = Map.groupBy(slices, serviceOf);
    this.#older = new Map(older.map((one) => [keyOf(one), one]));
    this.#pods = new PodIndex(pods);
    this.#nodes = nodes;
    this.#mtls = mtls;
  }

  get pods(): readonly Pod[] {
    return this.#pods.all;
  }

  /** undefined for slices whose Service is not there. */
  parts(key: string): ServiceParts | undefined {
    const service = this.#services.get(key);
    if (service === undefined) return undefined;
    const sources = this.#sources(key);
    const pods = sources.flatMap((slice) => this.#podsBehind(slice));
    return {
      service,
      inputs: [service, this.#nodes, this.#mtls, ...sources, ...pods],
      make: () => {
        const found = sliceEndpoints(sources, servicePorts(service), {
          pods: this.#pods,
          nodes: this.#nodes,
          mtls: this.#mtls,
          publishNotReady: service.value.spec.publishNotReadyAddresses ?? false,
          preferIpv6: prefersIpv6(service),
        });
        return { service: meshService(service, found.endpoints), findings: found.findings };
      },
    };
  }

  /** Takes in what changed; the services that may be others now. null when that cannot be told: then all may be. */
  follow(changes: readonly DecodedChange[]): ReadonlySet<string> | null {
    const touched = new Set<string>();
    for (const { before, after } of changes) {
      const kind = (after ?? before)?.kind;
      const known =
        kind === 'EndpointSlice'
          ? this.#followSlice(before as EndpointSlice | null, after as EndpointSlice | null, touched)
          : kind === 'Pod' && this.#followPod(before as Pod | null, after as Pod | null, touched);
      if (!known) return null;
    }
    return touched;
  }

  #followSlice(before: EndpointSlice | null, after: EndpointSlice | null, touched: Set<string>): boolean {
    for (const [slice, there] of [
      [before, false],
      [after, true],
    ] as const) {
      if (slice === null) continue;
      const key = serviceOf(slice);
      const others = (this.#slices.get(key) ?? []).filter((one) => one !== slice);
      this.#slices.set(key, there ? [...others, slice] : others);
      if (there && this.#users !== null) this.#noteUsers(slice, this.#users);
      touched.add(key);
    }
    return true;
  }

  #followPod(before: Pod | null, after: Pod | null, touched: Set<string>): boolean {
    const users = this.#podUsers();
    if (users === null) return false;
    this.#pods.replace(before, after);
    for (const pod of [before, after]) {
      if (pod !== null) for (const key of users.get(keyOf(pod)) ?? []) touched.add(key);
    }
    return true;
  }

  /** null where slices have endpoints that name no pod, which are then found by address. */
  #podUsers(): ReadonlyMap<string, ReadonlySet<string>> | null {
    if (this.#users === null) {
      this.#users = new Map();
      for (const slices of this.#slices.values()) for (const slice of slices) this.#noteUsers(slice, this.#users);
    }
    return this.#users.has('') ? null : this.#users;
  }

  /** A service that no longer names a pod stays noted: then it is looked at in vain, now and then. */
  #noteUsers(slice: EndpointSlice, users: Map<string, Set<string>>): void {
    const key = serviceOf(slice);
    for (const { targetRef } of slice.value.endpoints ?? []) {
      const name = targetRef?.name;
      const pod = name === undefined ? '' : `${targetRef?.namespace || slice.object.namespace}/${name}`;
      const of = users.get(pod);
      if (of === undefined) users.set(pod, new Set([key]));
      else of.add(key);
    }
  }

  #sources(key: string): readonly EndpointSlice[] {
    const own = this.#slices.get(key) ?? [];
    const older = own.length === 0 ? this.#older.get(key) : undefined;
    if (older === undefined) return own;
    let mirrored = this.#mirrored.get(older);
    if (mirrored === undefined) {
      mirrored = mirrorEndpoints(older);
      this.#mirrored.set(older, mirrored);
    }
    return mirrored;
  }

  #podsBehind(slice: EndpointSlice): readonly (Pod | undefined)[] {
    return (slice.value.endpoints ?? []).map(({ targetRef, addresses }) => {
      const name = targetRef?.name;
      if (name !== undefined) return this.#pods.named(targetRef?.namespace || slice.object.namespace, name);
      return this.#pods.at(addresses[0] ?? '');
    });
  }
}

/** Whether what is made of two versions is the same but for the objects that it was made from. */
export function sameService(a: MeshService, b: MeshService): boolean {
  return isDeepStrictEqual(a, b);
}

export function keyOf({ object }: Decoded): string {
  return `${object.namespace}/${object.name}`;
}

function serviceOf({ object }: EndpointSlice): string {
  return `${object.namespace}/${object.labels[SERVICE_NAME] ?? ''}`;
}
