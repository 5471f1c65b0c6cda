import { sha256 } from '../../platform/crypto.ts'

export interface ConsentText {
  version: string
  text: string
  sha256: Buffer
  /** Null for the current text; a replaced one stays accepted for 24 h after this time. */
  replacedAt: Date | null
}

const version = (name: string, text: string, replacedAt: Date | null = null): ConsentText => ({
  version: name,
  text,
  sha256: sha256(text),
  replacedAt,
})

// Newest first. A text is never edited: a new one is added in front and the former gets its `replacedAt`.
const texts: readonly [ConsentText, ...ConsentText[]] = [
  version(
    '2026-11',
    [
      'To nagranie jest moim głosem albo głosem dorosłej osoby, która zna ten tekst i zgodziła się na nagranie.',
      'Zgadzam się, aby DawnoTemu przechowywało to nagranie i na jego podstawie tworzyło głos, który czyta bajki na moim koncie.',
      'Wiem, że do stworzenia głosu nagranie może zostać przekazane dostawcy syntezy mowy, wyłącznie w tym celu.',
      'Głos i nagranie mogę usunąć w każdej chwili w aplikacji; usunięcie głosu cofa tę zgodę na przyszłość.',
    ].join('\n'),
  ),
]

export const currentConsentText = (): ConsentText => texts[0]

/** The text of a version that may still be agreed to at `now`, or null. */
export const acceptedConsentText = (name: string, now: Date): ConsentText | null =>
  texts.find(
    (text) =>
      text.version === name &&
      (text.replacedAt === null || now.getTime() < text.replacedAt.getTime() + 86_400_000),
  ) ?? null
