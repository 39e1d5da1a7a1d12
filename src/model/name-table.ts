/** A name that the mesh answers DNS for. */
export interface NameEntry {
  /** Lower case, without a dot at the end; `*.example.com` is every name below. */
  readonly host: string;
  /** IP addresses. */
  readonly addresses: readonly string[];
  /** More names of the same. */
  readonly aliases: readonly string[];
  /** A Service's own `name` and `namespace`, by which others call it shortly; null for what is no Service. */
  readonly service: { readonly name: string; readonly namespace: string } | null;
}

/** One resource of name discovery (Istio's NDS): a part of all names, or all of them. */
export interface NameTable {
  readonly entries: readonly NameEntry[];
}
