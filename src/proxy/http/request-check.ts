import type { RequestHead } from '../../protocol/http/message.ts';
import type { LocalReply } from '../filters/filter.ts';
import { PathVerdict } from '../router/normalize.ts';
import { rewriteHost } from '../router/rewrite.ts';
import type { ConnectionManager } from './connection-manager.ts';
import { badRequestReply } from './replies.ts';
import { hasUnderscoreName } from './request-policy.ts';

/**
 * What a connection manager refuses or normalises before anything reads the head: protocol version, target
 * form, header names, path and host (Envoy: http_connection_manager.proto). Null when the request may go on.
 */
export function checkRequest(head: RequestHead, manager: ConnectionManager): LocalReply | null {
  const { config } = manager;
  if (head.minorVersion === 0) {
    if (!config.acceptHttp10) {
      return badRequestReply(
        426,
        'low_version',
        'HTTP/1.0 is not accepted here (http_protocol_options.accept_http_10).',
      );
    }
    if (head.authority === '') {
      if (config.defaultHostForHttp10 === '') {
        return badRequestReply(400, 'missing_host_header', 'The HTTP/1.0 request names no host.');
      }
      head.authority = config.defaultHostForHttp10;
      head.headers.add('Host', head.authority);
    }
  }
  if (head.absoluteForm && !config.allowAbsoluteUrl) {
    return badRequestReply(
      404,
      'absolute_url_rejected',
      'Absolute-form targets are not accepted here (allow_absolute_url).',
    );
  }
  if (config.headersWithUnderscores !== 'ALLOW' && hasUnderscoreName(head)) {
    if (config.headersWithUnderscores === 'REJECT_REQUEST') {
      return badRequestReply(400, 'unexpected_underscore', 'A header name holds an underscore, which is refused here.');
    }
    head.headers.removeWhere((name) => name.includes('_'));
  }
  if (manager.normalizeHost !== null) {
    const before = head.authority;
    manager.normalizeHost(head);
    if (head.authority !== before) rewriteHost(head, head.authority);
  }
  const verdict = manager.normalizePath === null ? PathVerdict.Continue : manager.normalizePath(head);
  if (verdict === PathVerdict.Reject) {
    return badRequestReply(400, 'path_normalization_failed', 'The path cannot be normalised.');
  }
  if (verdict === PathVerdict.Redirect) return normalizedRedirect(head);
  return null;
}

function normalizedRedirect(head: RequestHead): LocalReply {
  return {
    status: 307,
    body: '',
    details: 'path_normalization_failed',
    flags: 0,
    reason: 'The path held escaped slashes.',
    headers: [['location', head.path]],
  };
}
