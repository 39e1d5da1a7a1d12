import { main } from './main.ts';
import { PROXY_VERBS } from './verbs.ts';

/** Entry of the bundle that a proxy runs from: see `precompiled.ts`. */
void main(PROXY_VERBS);
