/** The HTML of productpage: pure functions of what the calls answered. */
import type { Answered, BookDetails, Rating, Reviews } from './answers.ts';
import { Html, html } from './html.ts';
import { STYLE } from './style.ts';

export interface Product {
  readonly id: number;
  readonly title: string;
  readonly summary: string;
}

export interface CallRow {
  readonly service: string;
  /** 0 when no answer came. */
  readonly status: number;
  readonly ms: number;
  /** The instance that answered, as far as it said so. */
  readonly pod: string;
}

export interface ProductView {
  readonly user: string | undefined;
  readonly product: Product;
  readonly details: Answered<BookDetails>;
  readonly reviews: Answered<Reviews>;
  readonly reviewsVersion: string;
  readonly calls: readonly CallRow[];
}

const ROWS: readonly (readonly [field: string, label: string])[] = [
  ['author', 'Author'],
  ['year', 'Year'],
  ['type', 'Type'],
  ['pages', 'Pages'],
  ['publisher', 'Publisher'],
  ['language', 'Language'],
  ['ISBN-10', 'ISBN-10'],
  ['ISBN-13', 'ISBN-13'],
];
const NOTHING = html``;
// The style sheet is ours, so it goes in unescaped.
const STYLE_TAG = new Html(`<style>${STYLE}</style>`);
const ICON =
  'data:image/svg+xml,%3Csvg xmlns=%22http://www.w3.org/2000/svg%22 viewBox=%220 0 16 16%22%3E%3Crect x=%223%22 y=%221%22 width=%2210%22 height=%2214%22 rx=%221.5%22 fill=%22%230b6e6e%22/%3E%3C/svg%3E';

export function productPage(view: ProductView): string {
  const author = view.details.ok ? (view.details.value.author ?? '') : '';
  return layout(
    view.product.title,
    view.user,
    html`<section class="hero">
  <div class="cover" aria-hidden="true">${view.product.title}<small>${author}</small></div>
  <div><h1>${view.product.title}</h1><p class="lead">${view.product.summary}</p></div>
</section>
<div class="columns">
  <section class="card" id="details"><h2>Book details</h2>${detailsCard(view.details)}</section>
  <section class="card" id="reviews"><h2>Book reviews</h2>${reviewsCard(view.reviews, view.reviewsVersion)}</section>
</div>
<section class="card calls" id="calls"><h2>How this page was made</h2>${callTable(view.calls)}</section>`,
  );
}

export function introPage(user: string | undefined): string {
  return layout(
    'Bookinfo',
    user,
    html`<h1>One page, four services</h1>
<p class="lead">The product page asks <b>details</b> for the facts and <b>reviews</b> for opinions. Reviews come in three
versions: v1 shows no stars, v2 asks <b>ratings</b> and shows black ones, v3 red ones. Which of them answers is for the
mesh to decide, and none of these programs knows that there is one.</p>
<p><a class="button" href="/productpage">Open the product page</a></p>
<p class="lead">As JSON: <a href="/api/v1/products">products</a>, <a href="/api/v1/products/0">details</a>,
<a href="/api/v1/products/0/reviews">reviews</a>, <a href="/api/v1/products/0/ratings">ratings</a>.</p>`,
  );
}

function layout(title: string, user: string | undefined, content: Html): string {
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${title}</title>
<link rel="icon" href="${ICON}">
${STYLE_TAG}
</head>
<body>
<header><div class="bar"><a class="brand" href="/productpage">Book<span>info</span></a>${signIn(user)}</div></header>
<main>
${content}
</main>
</body>
</html>
`.text;
}

function signIn(user: string | undefined): Html {
  if (user !== undefined) {
    return html`<div class="who">Signed in as <strong>${user}</strong> <a href="/logout">Sign out</a></div>`;
  }
  return html`<form class="who" method="post" action="/login">
<input name="username" aria-label="User name" placeholder="User name" maxlength="64" autocomplete="username" required>
<button>Sign in</button></form>`;
}

function detailsCard(details: Answered<BookDetails>): Html {
  if (!details.ok) return errorBox('product details', details.reason);
  const known = details.value;
  return html`<dl>${ROWS.map(([field, label]) => (known[field] === undefined ? NOTHING : html`<dt>${label}</dt><dd>${known[field]}</dd>`))}</dl>`;
}

function reviewsCard(reviews: Answered<Reviews>, version: string): Html {
  if (!reviews.ok) return errorBox('product reviews', reviews.reason);
  const { podname, reviews: list } = reviews.value;
  const quotes = list.map(
    (review) =>
      html`<blockquote><p>${review.text}</p><footer><span>— ${review.reviewer}</span>${stars(review.rating)}</footer></blockquote>`,
  );
  const badge = version === '' ? NOTHING : html`<span class="badge">${version}</span> `;
  return html`${quotes}<p class="from">${badge}answered by ${podname || 'an unnamed instance'}</p>`;
}

function stars(rating: Rating): Html {
  if (rating.kind === 'none') return NOTHING;
  if (rating.kind === 'error') return html`<span class="small-error">${rating.error}</span>`;
  const color = rating.color === 'red' ? 'red' : 'black';
  const label = `${rating.stars} of 5 stars`;
  return html`<span class="stars ${color}" role="img" aria-label="${label}" title="${label}">${'★'.repeat(rating.stars)}<i>${'★'.repeat(5 - rating.stars)}</i></span>`;
}

function errorBox(what: string, reason: string): Html {
  return html`<div class="error" role="alert"><h3>Error fetching ${what}!</h3>
<p>Sorry, ${what} are currently unavailable for this book.</p><code>${reason}</code></div>`;
}

function callTable(calls: readonly CallRow[]): Html {
  const rows = calls.map(
    (
      call,
    ) => html`<tr><td>${call.service}</td><td class="${call.status === 200 ? '' : 'bad'}">${call.status || 'no answer'}</td>
<td class="number">${call.ms.toFixed(1)} ms</td><td>${call.pod || '–'}</td></tr>`,
  );
  return html`<div class="scroll"><table><thead><tr><th>Call</th><th>Answer</th><th class="number">Took</th><th>Instance</th></tr></thead>
<tbody>${rows}</tbody></table></div>`;
}
