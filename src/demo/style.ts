/** The pages' style sheet: one string, no asset to fetch, light and dark. */
export const STYLE = `
:root {
  color-scheme: light dark;
  --paper: #f6f4ef; --card: #ffffff; --ink: #1d2433; --soft: #5d667a; --line: #e2ddd2;
  --accent: #0b6e6e; --accent-ink: #ffffff; --bad: #a3261b; --bad-bg: #fdefec; --bad-line: #efc4bc;
  --serif: "Iowan Old Style", "Palatino Linotype", Palatino, Georgia, serif;
  --sans: system-ui, -apple-system, "Segoe UI", Roboto, sans-serif;
  --mono: ui-monospace, "SF Mono", Menlo, Consolas, monospace;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #12161f; --card: #1b212d; --ink: #e8eaf0; --soft: #9aa4b8; --line: #2c3443;
    --accent: #4cc3bd; --accent-ink: #08201f; --bad: #ff9d8f; --bad-bg: #2d1a19; --bad-line: #5b2c28;
  }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.55 var(--sans); }
a { color: var(--accent); }
header { background: var(--card); border-bottom: 1px solid var(--line); }
.bar { max-width: 60rem; margin: 0 auto; padding: .7rem 1.25rem; display: flex; flex-wrap: wrap; gap: .75rem; align-items: center; justify-content: space-between; }
.brand { font: 700 1.2rem/1 var(--serif); color: var(--ink); text-decoration: none; }
.brand span { color: var(--accent); }
.who { display: flex; gap: .5rem; align-items: center; font-size: .92rem; }
.who strong { overflow-wrap: anywhere; }
input { font: inherit; width: 9.5rem; padding: .3rem .6rem; color: var(--ink); background: var(--paper); border: 1px solid var(--line); border-radius: .45rem; }
button, .button { font: inherit; font-weight: 600; padding: .3rem .85rem; color: var(--accent-ink); background: var(--accent); border: 0; border-radius: .45rem; cursor: pointer; text-decoration: none; display: inline-block; }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
main { max-width: 60rem; margin: 0 auto; padding: 2rem 1.25rem 3rem; }
.hero { display: grid; grid-template-columns: 8.5rem 1fr; gap: 1.75rem; align-items: center; margin-bottom: 2rem; }
.cover { aspect-ratio: 2 / 3; border-radius: .2rem .55rem .55rem .2rem; padding: .9rem .8rem; display: flex; flex-direction: column; justify-content: space-between; color: #fbf3df; background: linear-gradient(90deg, rgba(0,0,0,.35) 0, rgba(0,0,0,0) 9%), linear-gradient(155deg, #14706f, #123c55 60%, #2a2547); box-shadow: 0 .7rem 1.6rem rgba(10,15,30,.28); font: 700 1.05rem/1.2 var(--serif); }
.cover small { font: 400 .68rem/1.3 var(--sans); letter-spacing: .06em; text-transform: uppercase; }
h1 { font: 700 clamp(1.8rem, 5vw, 2.6rem)/1.12 var(--serif); margin: 0 0 .6rem; text-wrap: balance; }
h2 { font: 700 1.25rem/1.2 var(--serif); margin: 0 0 .9rem; }
.lead { margin: 0; color: var(--soft); max-width: 42rem; }
.columns { display: grid; grid-template-columns: minmax(0, 2fr) minmax(0, 3fr); gap: 1.25rem; align-items: start; }
.card { background: var(--card); border: 1px solid var(--line); border-radius: .8rem; padding: 1.25rem 1.35rem; }
dl { display: grid; grid-template-columns: auto 1fr; gap: .45rem 1.1rem; margin: 0; }
dt { color: var(--soft); } dd { margin: 0; overflow-wrap: anywhere; }
blockquote { margin: 0 0 1rem; padding: 0 0 1rem; border-bottom: 1px solid var(--line); }
blockquote p { margin: 0 0 .5rem; font: 1.06rem/1.5 var(--serif); overflow-wrap: anywhere; }
blockquote footer { display: flex; flex-wrap: wrap; gap: .6rem; align-items: center; color: var(--soft); font-size: .92rem; }
.stars { background: #fff; border: 1px solid #e2ddd2; border-radius: 1rem; padding: .05rem .6rem; letter-spacing: .1em; font-size: 1.05rem; line-height: 1.45; color: #111; }
.stars i { font-style: normal; opacity: .28; }
.stars.red { color: #d3202a; }
.from { margin: 0; color: var(--soft); font-size: .9rem; overflow-wrap: anywhere; }
.badge { font: 600 .82rem/1 var(--mono); color: var(--accent); border: 1px solid currentColor; border-radius: 1rem; padding: .15rem .5rem; }
.error { border: 1px solid var(--bad-line); background: var(--bad-bg); color: var(--bad); border-radius: .6rem; padding: .9rem 1rem; }
.error h3 { margin: 0 0 .25rem; font-size: 1rem; } .error p { margin: 0; }
.error code { display: block; margin-top: .5rem; font: .85rem/1.45 var(--mono); overflow-wrap: anywhere; }
.small-error { color: var(--bad); }
.calls { margin-top: 1.25rem; } .scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .92rem; }
th, td { text-align: left; padding: .4rem .9rem .4rem 0; border-top: 1px solid var(--line); white-space: nowrap; }
th { color: var(--soft); font-weight: 500; border-top: 0; } td { font-family: var(--mono); font-size: .86rem; }
.number { text-align: right; } .bad { color: var(--bad); }
@media (max-width: 44rem) {
  .columns { grid-template-columns: minmax(0, 1fr); }
  .hero { grid-template-columns: 5.5rem 1fr; gap: 1.1rem; }
  .cover { font-size: .78rem; padding: .6rem .5rem; } .cover small { font-size: .55rem; }
}
`;
