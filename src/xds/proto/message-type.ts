/**
 * The run-time handle of a message type. It holds only the name, so that importing a generated
 * package costs next to nothing; the tables behind it are read at first use.
 */
export interface MessageType<T> {
  /** Full proto name, such as 'envoy.config.route.v3.RouteAction'. */
  readonly typeName: string;
  readonly __t?: T;
}

/** Makes a handle; only generated code and tests have reason to call it. */
export function type<T>(typeName: string): MessageType<T> {
  return { typeName };
}

/** The URL by which an Any names this type. */
export function typeUrl(of: MessageType<unknown>): string {
  return `type.googleapis.com/${of.typeName}`;
}

/** The message name in an Any's type URL: what follows the last slash. */
export function typeNameOf(url: string): string {
  return url.slice(url.lastIndexOf('/') + 1);
}
