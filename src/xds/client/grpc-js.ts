// A module of its own to load late: importing a CommonJS package with `import()` itself gives different shapes
// bundled and unbundled, a static import the same.
import * as grpc from '@grpc/grpc-js';

export { grpc };
