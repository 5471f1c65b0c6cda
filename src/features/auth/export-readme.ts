import { company } from '../../platform/http/brand-page.ts'

/** A file that the archive should hold and does not: gone from the store, or the store could not give it. */
export interface MissingFile {
  path: string
  reason: 'absent' | 'unreadable'
}

const meanings: Record<string, string> = {
  'account.json': 'Twoje konto: adres e-mail, daty, okres próbny i subskrypcja.',
  'sessions.json': 'Urządzenia, na których było otwarte konto. Zakończone sesje usuwamy po 30 dniach.',
  'security-events.json': 'Logowania i zmiany hasła lub adresu z ostatnich 180 dni.',
  'voices.json': 'Twoje głosy i opis każdego nagrania.',
  'narrations.json': 'Bajki zamówione Twoim głosem, także te jeszcze niegotowe.',
  'points.json': 'Punkty Magii: skąd są i na co poszły.',
  'purchases.json': 'Zakupy i subskrypcje, o których powiedziały nam sklepy z aplikacjami.',
  'consents.json': 'Zgody: regulamin konta i zgoda na użycie głosu przy każdym nagraniu.',
}

const reasons: Record<MissingFile['reason'], string> = {
  absent: 'nie ma go już w naszym magazynie',
  unreadable: 'nie udało się go odczytać; zamów paczkę jeszcze raz za jakiś czas',
}

const warsawTime = new Intl.DateTimeFormat('pl-PL', {
  dateStyle: 'long',
  timeStyle: 'short',
  timeZone: 'Europe/Warsaw',
})

const heading = (text: string): string[] => ['', text, '-'.repeat([...text].length)]

const missingLines = (missing: readonly MissingFile[]): string[] =>
  missing.length === 0
    ? ['W paczce są wszystkie pliki, o których mówią opisy.']
    : [
        'Tych plików zabrakło, chociaż mówią o nich opisy:',
        ...missing.map(({ path, reason }) => `- ${path}: ${reasons[reason]}.`),
      ]

/** CZYTAJ.txt: what the archive holds and what it lacks, for a reader who is no programmer. `paths` are in the archive. */
export const exportReadme = (archive: {
  now: Date
  sections: readonly string[]
  paths: readonly string[]
  missing: readonly MissingFile[]
}): string => {
  const inFolder = (folder: string): number =>
    archive.paths.filter((path) => path.startsWith(`${folder}/`)).length
  const width = Math.max(...archive.sections.map((name) => name.length)) + 2
  const lines = [
    'Twoje dane z DawnoTemu',
    '======================',
    '',
    `Stan na: ${warsawTime.format(archive.now)} (czas polski).`,
    'To kopia danych Twojego konta. Przechowuj ją w bezpiecznym miejscu: są w niej nagrania głosu.',
    ...heading('Do słuchania'),
    `nagrania/  Nagrania głosu, takie, jakie do nas trafiły. Pliki: ${inFolder('nagrania')}.`,
    `bajki/     Gotowe bajki (MP3), czytane głosem stworzonym z nagrania. Pliki: ${inFolder('bajki')}.`,
    'Wystarczy kliknąć plik: otworzy się w odtwarzaczu muzyki.',
    ...heading('Do czytania'),
    'Pliki .json to zwykły tekst z opisami. Otworzy je Notatnik albo przeglądarka internetowa.',
    ...archive.sections.map((name) => `${name.padEnd(width)}${meanings[name] ?? 'Dodatkowe dane konta.'}`),
    'Daty w tych plikach są w czasie uniwersalnym (UTC), o godzinę lub dwie wcześniejszym niż polski.',
    ...heading('Czego brakuje i dlaczego'),
    ...missingLines(archive.missing),
    'Bajka, która nie jest gotowa, nie ma jeszcze pliku z dźwiękiem.',
    'Nie ma tu hasła: nie znamy go, przechowujemy tylko jego skrót. Nie ma też kluczy logowania.',
    'Rachunki za zakupy wystawiają App Store i Google Play, tam je znajdziesz.',
    '',
    `Pytania? Napisz: ${company.support}.`,
    '',
  ]
  // With the mark and the line ends that old Windows programs need to show Polish letters right.
  return `\uFEFF${lines.join('\r\n')}`
}
