import { random } from '../../../../../src/proxy/upstream/lb/random.ts';
import { balancerSuite } from '../../../../conformance/balancer.suite.ts';

balancerSuite(random, { tolerance: 0.1 });
