import { parseUriTemplate, templateSubstitution } from '../../base/uri-template.ts';
import type { TypedExtensionConfig } from '../proto/gen/envoy/config/core/v3.ts';
import type { RouteMatch } from '../proto/gen/envoy/config/route/v3.ts';
import { UriTemplateMatchConfig } from '../proto/gen/envoy/extensions/path/match/uri_template/v3.ts';
import { UriTemplateRewriteConfig } from '../proto/gen/envoy/extensions/path/rewrite/uri_template/v3.ts';
import type { Decoding } from './decoding.ts';

/** The template of a `path_match_policy`; '/' when it cannot be used. */
export function decodePathTemplate(policy: TypedExtensionConfig, path: string, s: Decoding): string {
  const text = open(policy, path, s)?.path_template;
  if (text === undefined) return '/';
  const { error } = parseUriTemplate(text);
  if (error === undefined) return text;
  s.error(`${path}.typed_config.path_template`, `${JSON.stringify(text)}: ${error}`);
  return '/';
}

function open(policy: TypedExtensionConfig, path: string, s: Decoding): UriTemplateMatchConfig | undefined {
  if (policy.typed_config === undefined) {
    s.error(`${path}.typed_config`, `is needed: a ${UriTemplateMatchConfig.typeName}`);
    return undefined;
  }
  return s.openAs(UriTemplateMatchConfig, policy.typed_config, `${path}.typed_config`);
}

/** The template of a `path_rewrite_policy`, which must fit the route's `path_match_policy`. */
export function decodePathTemplateRewrite(
  policy: TypedExtensionConfig,
  match: RouteMatch,
  path: string,
  s: Decoding,
): string {
  if (policy.typed_config === undefined) {
    s.error(`${path}.typed_config`, `is needed: a ${UriTemplateRewriteConfig.typeName}`);
    return '/';
  }
  const at = `${path}.typed_config`;
  const rewrite = s.openAs(UriTemplateRewriteConfig, policy.typed_config, at)?.path_template_rewrite;
  if (rewrite === undefined) return '/';
  const any = match.path_match_policy?.typed_config;
  if (any === undefined) {
    s.error(path, 'needs a path_match_policy of the route, whose variables it uses');
    return '/';
  }
  // What is wrong with the match is said where it stands.
  const template = s.open(any, path)?.message as UriTemplateMatchConfig | undefined;
  const parsed = parseUriTemplate(template?.path_template ?? '/').ok;
  const error = parsed === undefined ? undefined : templateSubstitution(rewrite, parsed).error;
  if (error === undefined) return rewrite;
  s.error(`${at}.path_template_rewrite`, `${JSON.stringify(rewrite)}: ${error}`);
  return '/';
}
