// What ships: the CLI as one entry with chunks that load when they are asked for (gRPC, metrics exposition),
// and each demo service by itself.
import { readFileSync, rmSync } from 'node:fs';
import { build } from 'esbuild';

rmSync('dist', { recursive: true, force: true });

/** commander starts programs of others, which we have none of: node:child_process is loaded by whom it is for. */
const lazyChildProcess = {
  name: 'lazy-child-process',
  setup(build) {
    build.onLoad({ filter: /commander\/lib\/command\.js$/ }, ({ path }) => {
      const text = readFileSync(path, 'utf8');
      const eager = "const childProcess = require('node:child_process');";
      if (!text.includes(eager)) throw new Error(`${path} has no ${eager}`);
      return {
        contents: text.replace(eager, '').replaceAll('childProcess.', "require('node:child_process')."),
        loader: 'js',
      };
    });
  },
};

const common = {
  plugins: [lazyChildProcess],
  bundle: true,
  platform: 'node',
  target: 'node24',
  format: 'esm',
  // Source text stays in memory while the process lives: 4 MB less of it, with names kept for stack traces.
  minifyWhitespace: true,
  minifySyntax: true,
  sourcemap: 'linked',
  sourcesContent: false,
  logLevel: 'warning',
  legalComments: 'linked',
  // CommonJS packages inside an ES module still call require for Node's own modules.
  banner: {
    js: "import { createRequire as __createRequire } from 'node:module';const require = __createRequire(import.meta.url);",
  },
};

await build({
  ...common,
  // The worker is one of the threads that serve, beside the chunks that it shares.
  entryPoints: { remora: 'src/cli/remora.ts', worker: 'src/proxy/runtime/worker.ts' },
  splitting: true,
  chunkNames: 'chunks/[name]-[hash]',
  outdir: 'dist',
});
// A proxy by itself: one file of classic script, whose compiled code .ci/precompile.mjs keeps beside it. It is evaluated
// as a function that is given these two.
await build({
  ...common,
  banner: { js: '(function(require,bundleUrl){' },
  footer: { js: '})' },
  entryPoints: { proxy: 'src/cli/proxy-bundle.ts' },
  format: 'cjs',
  define: { 'import.meta.url': 'bundleUrl' },
  outExtension: { '.js': '.cjs' },
  outdir: 'dist',
});
await build({
  ...common,
  entryPoints: ['details', 'reviews', 'ratings', 'productpage'].map((name) => `src/demo/${name}.ts`),
  outdir: 'dist/demo',
});
