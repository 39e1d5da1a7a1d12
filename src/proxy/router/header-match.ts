// The matchers are shared with the filters, which may not import the router.
export { compileHeaderMatcher, type HeaderTest, headerReader } from '../matcher/header.ts';
export { compileStringMatcher, lowerAscii, type StringTest } from '../matcher/string.ts';
