import { company } from '../../platform/http/brand-page.ts'

/** What happened where: shown so that the reader can tell their own doing from somebody else's. */
export interface Occasion {
  /** Client name or user agent, as the client sent it. */
  device?: string
  at?: Date
}

/** The variables of each kind. Every value is plain text; the layout escapes it. */
export interface MailVariables {
  confirm_email: { link: string }
  reset_password: { link: string }
  email_confirmed: Record<string, never>
  password_changed: Occasion
  session_closed: Occasion
  email_change_requested: { newAddress?: string }
  email_changed: { newAddress?: string }
  account_approved: Record<string, never>
  account_deactivated: Record<string, never>
  deletion_started: Record<string, never>
  /** What was removed, and then looked for in vain. */
  deletion_finished: { recordings: number; narrations: number; providerCopies: number }
  /** The browser app's account page; no token in it. */
  data_export_ready: { link?: string }
}

export type MailKind = keyof MailVariables

/** A mail's content, before it becomes HTML and text. */
export interface Wording {
  subject: string
  preheader: string
  headline: string
  subline: string
  title: string
  paragraphs: string[]
  facts?: [label: string, value: string][]
  button?: { label: string; link: string }
  notes: string[]
}

const loginButton = { label: 'Przejdź do logowania', link: 'dawnotemu://login' }

const factLengthLimit = 100

/** One line of readable text: a user agent may hold anything. */
const oneLine = (text: string): string => {
  const line = text.replace(/[\p{C}\p{Z}\s]+/gu, ' ').trim()
  const characters = Array.from(line)
  return characters.length > factLengthLimit ? `${characters.slice(0, factLengthLimit).join('')}…` : line
}

const warsawTime = new Intl.DateTimeFormat('pl-PL', {
  dateStyle: 'long',
  timeStyle: 'short',
  timeZone: 'Europe/Warsaw',
})

const occasionFacts = ({ device, at }: Occasion): [string, string][] => [
  ...(at === undefined ? [] : [['Kiedy', warsawTime.format(at)] satisfies [string, string]]),
  ...(device === undefined ? [] : [['Urządzenie', oneLine(device)] satisfies [string, string]]),
]

/** `anna@dom.pl` → `a…@d….pl`: enough to know one's own address, too little to learn somebody else's. */
export const maskAddress = (address: string): string => {
  const at = address.lastIndexOf('@')
  const dot = address.lastIndexOf('.')
  const first = (text: string): string => Array.from(text)[0] ?? ''
  if (at < 1) return '…'
  const ending = dot > at ? address.slice(dot) : ''
  return oneLine(`${first(address)}…@${first(address.slice(at + 1))}…${ending}`)
}

const addressFacts = ({ newAddress }: { newAddress?: string }): [string, string][] =>
  newAddress === undefined ? [] : [['Nowy adres', maskAddress(newAddress)]]

const plural = new Intl.PluralRules('pl-PL')

/** `2 nagrania`, `5 nagrań`: the noun in the form that its number asks for. */
const counted = (count: number, [one, few, many]: readonly [string, string, string]): string => {
  const form = plural.select(count)
  return `${count} ${form === 'one' ? one : form === 'few' ? few : many}`
}

const removedWords = (removed: MailVariables['deletion_finished']): string => {
  const forms: [count: number, forms: [string, string, string]][] = [
    [removed.recordings, ['nagranie głosu', 'nagrania głosu', 'nagrań głosu']],
    [removed.narrations, ['przeczytaną bajkę', 'przeczytane bajki', 'przeczytanych bajek']],
    [
      removed.providerCopies,
      [
        'kopię głosu u dostawcy syntezy mowy',
        'kopie głosu u dostawcy syntezy mowy',
        'kopii głosu u dostawcy syntezy mowy',
      ],
    ],
  ]
  const parts = forms.filter(([count]) => count > 0).map(([count, words]) => counted(count, words))
  const what =
    parts.length === 0 ? 'Usunęliśmy Twoje konto' : `Usunęliśmy Twoje konto, a z nim: ${parts.join(', ')}`
  return `${what}. Potem zajrzeliśmy wszędzie tam, gdzie były Twoje dane, i sprawdziliśmy, że nic nie zostało.`
}

const notYou = `To nie Ty? Ustaw nowe hasło w aplikacji („Nie pamiętam hasła”) i napisz do nas: ${company.support}.`

export const wordings: { [K in MailKind]: (variables: MailVariables[K]) => Wording } = {
  confirm_email: ({ link }) => ({
    subject: 'DawnoTemu: potwierdź swój adres e-mail ✨',
    preheader: 'Jeszcze jeden krok i świat bajek stoi przed Tobą otworem.',
    headline: 'Witaj w DawnoTemu',
    subline: 'Bajki na dobranoc, czytane Twoim głosem',
    title: 'Potwierdź swój adres',
    paragraphs: [
      'Dobrze, że jesteś! Dzieli Cię już tylko jeden krok od pierwszej bajki.',
      'Potwierdź swój adres e-mail, naciskając przycisk. Link działa przez 24 godziny.',
    ],
    button: { label: 'Potwierdź konto', link },
    notes: ['Jeśli to nie Ty zakładasz konto w DawnoTemu, po prostu pomiń tę wiadomość.'],
  }),
  reset_password: ({ link }) => ({
    subject: 'DawnoTemu: ustaw nowe hasło 🔐',
    preheader: 'Link do ustawienia nowego hasła działa przez 1 godzinę.',
    headline: 'Nowe hasło',
    subline: 'Każdemu zdarza się zapomnieć zaklęcie',
    title: 'Ustaw nowe hasło',
    paragraphs: [
      'Dostaliśmy prośbę o nowe hasło do Twojego konta.',
      'Naciśnij przycisk i wybierz nowe. Link działa przez 1 godzinę i tylko raz. Po zmianie wylogujemy wszystkie urządzenia.',
    ],
    button: { label: 'Ustaw nowe hasło', link },
    notes: ['Jeśli to nie Twoja prośba, pomiń tę wiadomość. Hasło zostanie takie, jakie jest.'],
  }),
  email_confirmed: () => ({
    subject: 'Adres potwierdzony, zapraszamy do aplikacji ✨',
    preheader: 'Twoje konto jest gotowe.',
    headline: 'Wszystko gotowe',
    subline: 'Za górami, za lasami czeka pierwsza bajka',
    title: 'Adres potwierdzony',
    paragraphs: [
      'Dziękujemy, Twój adres e-mail jest potwierdzony.',
      'Zaloguj się w aplikacji na telefonie, nagraj swój głos i wybierz bajkę na dziś.',
    ],
    button: loginButton,
    notes: ['Przycisk działa na telefonie z zainstalowaną aplikacją DawnoTemu.'],
  }),
  password_changed: (occasion) => ({
    subject: 'Hasło do DawnoTemu zostało zmienione 🔐',
    preheader: 'Jeśli to Ty, nie musisz nic robić.',
    headline: 'Nowe hasło działa',
    subline: 'Dbamy o bezpieczeństwo Twojego konta',
    title: 'Hasło zmienione',
    paragraphs: ['Hasło do Twojego konta zostało zmienione. Jeśli to Ty, nie musisz nic robić.'],
    facts: occasionFacts(occasion),
    notes: [notYou],
  }),
  session_closed: (occasion) => ({
    subject: 'Wylogowaliśmy jedno z Twoich urządzeń 🔐',
    preheader: 'Dla bezpieczeństwa zamknęliśmy jedną sesję.',
    headline: 'Czuwamy nad Twoim kontem',
    subline: 'Jedno urządzenie wymaga ponownego logowania',
    title: 'Jedno urządzenie wylogowane',
    paragraphs: [
      'Dane logowania jednego z Twoich urządzeń zostały użyte w dwóch miejscach naraz. To może znaczyć, że ktoś je skopiował, dlatego zamknęliśmy tę sesję.',
      'Zaloguj się na tym urządzeniu ponownie. Pozostałe urządzenia działają dalej.',
    ],
    facts: occasionFacts(occasion),
    notes: [`Dla pewności zmień hasło w aplikacji. Masz pytania? Napisz: ${company.support}.`],
  }),
  email_change_requested: (variables) => ({
    subject: 'Prośba o zmianę adresu e-mail w DawnoTemu',
    preheader: 'Nic się nie zmieni, dopóki nowy adres nie zostanie potwierdzony.',
    headline: 'Zmiana adresu',
    subline: 'Czekamy na potwierdzenie nowego adresu',
    title: 'Prośba o zmianę adresu',
    paragraphs: [
      'Dostaliśmy prośbę o zmianę adresu e-mail Twojego konta.',
      'Do czasu potwierdzenia nowego adresu logujesz się jak dotąd, tym adresem.',
    ],
    facts: addressFacts(variables),
    notes: [notYou],
  }),
  email_changed: (variables) => ({
    subject: 'Adres e-mail Twojego konta został zmieniony',
    preheader: 'Od teraz logujesz się nowym adresem.',
    headline: 'Nowy adres działa',
    subline: 'Twoje bajki zostają tam, gdzie były',
    title: 'Adres zmieniony',
    paragraphs: ['Nowy adres e-mail został potwierdzony. Od teraz logujesz się właśnie nim.'],
    facts: addressFacts(variables),
    notes: [`To nie Ty? Napisz do nas jak najszybciej: ${company.support}.`],
  }),
  account_approved: () => ({
    subject: 'Twoje konto DawnoTemu jest już aktywne ✨',
    preheader: 'Możesz się zalogować, okres próbny zaczyna się dziś.',
    headline: 'Drzwi są otwarte',
    subline: 'Zapraszamy do świata bajek',
    title: 'Konto jest aktywne',
    paragraphs: [
      'Dziękujemy za cierpliwość. Twoje konto jest już aktywne, a okres próbny zaczyna się dziś.',
      'Zaloguj się w aplikacji na telefonie, nagraj swój głos i wybierz bajkę na dobranoc.',
    ],
    button: loginButton,
    notes: ['Przycisk działa na telefonie z zainstalowaną aplikacją DawnoTemu.'],
  }),
  account_deactivated: () => ({
    subject: 'Twoje konto DawnoTemu zostało wyłączone',
    preheader: 'Nagrania i bajki zostają na miejscu, ale nie można się zalogować.',
    headline: 'Konto wyłączone',
    subline: 'Twoje bajki czekają tam, gdzie były',
    title: 'Konto zostało wyłączone',
    paragraphs: [
      'Wyłączyliśmy Twoje konto i wylogowaliśmy wszystkie urządzenia. Nagrania i bajki zostają na miejscu, niczego nie usunęliśmy.',
      'Subskrypcję kupioną w App Store lub Google Play kończy się w ustawieniach sklepu. Wyłączenie konta jej nie zatrzymuje.',
    ],
    notes: [`Chcesz wiedzieć dlaczego albo wrócić? Napisz do nas: ${company.support}.`],
  }),
  deletion_started: () => ({
    subject: 'Usuwamy Twoje konto DawnoTemu',
    preheader: 'Usuwamy nagrania, bajki i dane konta.',
    headline: 'Dziękujemy za wspólne bajki',
    subline: 'Spełniamy prośbę o usunięcie konta',
    title: 'Usuwamy Twoje konto',
    paragraphs: [
      'Zaczęliśmy usuwać Twoje konto, nagrania głosu i bajki czytane Twoim głosem. Damy znać, gdy skończymy.',
      'Ważne: subskrypcję kupioną w App Store lub Google Play kończy się w ustawieniach sklepu. Usunięcie konta jej nie zatrzymuje.',
    ],
    notes: [`To nie Twoja prośba? Napisz do nas jak najszybciej: ${company.support}.`],
  }),
  deletion_finished: (removed) => ({
    subject: 'Twoje konto DawnoTemu zostało usunięte',
    preheader: 'To ostatnia wiadomość od nas.',
    headline: 'Żegnaj, do zobaczenia',
    subline: 'I żyli długo i szczęśliwie',
    title: 'Konto usunięte',
    paragraphs: [
      removedWords(removed),
      'Po wysłaniu tej wiadomości usuwamy też ten adres, więc to ostatni list od nas.',
      'Subskrypcję kupioną w App Store lub Google Play zakończ w ustawieniach sklepu, jeśli jeszcze trwa. Usunięcie konta jej nie zatrzymuje.',
    ],
    notes: ['Dziękujemy za wspólny czas. Drzwi do świata bajek są zawsze otwarte. ❤️'],
  }),
  data_export_ready: ({ link }) => ({
    subject: 'Twoje dane z DawnoTemu są gotowe',
    preheader: 'Paczka czeka na stronie konta przez 7 dni.',
    headline: 'Twoje dane są gotowe',
    subline: 'Wszystko w jednej paczce',
    title: 'Paczka z danymi czeka',
    paragraphs: [
      'Przygotowaliśmy kopię Twoich danych: nagrania, bajki i historię konta.',
      'Pobierzesz ją po zalogowaniu w przeglądarce, na stronie konta. Paczka czeka 7 dni, potem ją usuwamy.',
    ],
    ...(link === undefined ? {} : { button: { label: 'Otwórz stronę konta', link } }),
    notes: [notYou],
  }),
}
