/** envoy.type.matcher.v3.StringMatcher; `regex` is RE2 syntax matched against the whole value. */
export interface StringMatcher {
  readonly kind: 'exact' | 'prefix' | 'suffix' | 'contains' | 'regex';
  readonly value: string;
  readonly ignoreCase: boolean;
}

/** envoy.config.route.v3.HeaderMatcher; `name` is lower case (`:method`, `:path`, `:authority`, `:scheme` are pseudo-headers). */
export interface HeaderMatcher {
  readonly name: string;
  readonly test:
    | { readonly kind: 'present'; readonly present: boolean }
    | { readonly kind: 'string'; readonly matcher: StringMatcher }
    | { readonly kind: 'range'; readonly start: number; readonly end: number };
  readonly invert: boolean;
  readonly treatMissingAsEmpty: boolean;
}

/** envoy.config.route.v3.QueryParameterMatcher */
export interface QueryParameterMatcher {
  readonly name: string;
  /** null: only presence is asked for. */
  readonly matcher: StringMatcher | null;
  /** False: it must be absent. Only without a matcher. */
  readonly present: boolean;
}

/** A share in parts per million; `runtimeKey` may override it at run time ('' for none). */
export interface FractionalPercent {
  readonly partsPerMillion: number;
  readonly runtimeKey: string;
}
