/** What of a certificate tells how much of its life is over. */
export interface CertificateLife {
  readonly serial: string;
  readonly subject: string;
  /** Wall times, ms. */
  readonly notBefore: number;
  readonly notAfter: number;
}

/** Shares of a certificate's life after which whoever renews it should have done so. */
const LATE = [0.5, 0.8, 1] as const;

/** How much of a certificate's life is over, 0 to 1 and beyond, and how many of {@link LATE} that passes. */
export function lifeUsed(
  { notBefore, notAfter }: Pick<CertificateLife, 'notBefore' | 'notAfter'>,
  now: number,
): { readonly share: number; readonly late: number } {
  const share = (now - notBefore) / (notAfter - notBefore);
  return { share, late: LATE.filter((limit) => share >= limit).length };
}

/** Says once at each of 50, 80 and 100 % of a certificate's life that it has not been replaced. */
export class CertificateAges {
  /** By certificate, how many of {@link LATE} were said. */
  #said = new Map<string, number>();

  /** Warnings that are due of the certificates in force, each with its place; what is in force no more is forgotten. */
  look(certificates: Iterable<readonly [place: string, certificate: CertificateLife]>, now: number): string[] {
    const before = this.#said;
    const said = new Map<string, number>();
    const due: string[] = [];
    for (const [place, certificate] of certificates) {
      const { serial, subject, notAfter } = certificate;
      const key = `${place} ${serial} ${notAfter}`;
      if (said.has(key)) continue;
      const { share, late } = lifeUsed(certificate, now);
      said.set(key, late);
      if (late <= (before.get(key) ?? 0)) continue;
      const until = new Date(notAfter).toISOString();
      const what =
        share >= 1 ? `expired at ${until}` : `has used ${Math.floor(share * 100)} % of its life, to ${until}`;
      due.push(`the certificate ${JSON.stringify(subject)} of ${place} ${what}: replace it`);
    }
    this.#said = said;
    return due;
  }
}
