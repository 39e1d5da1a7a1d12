let second = -1;
let text = '';

/** The Date header's value (RFC 9110 section 5.6.7), made once a second. */
export function formatHttpDate(wallMs: number): string {
  const now = Math.floor(wallMs / 1000);
  if (now !== second) {
    second = now;
    text = new Date(now * 1000).toUTCString();
  }
  return text;
}
