/** The brand's colours and shapes: one source for the landing pages' stylesheet and the mails. */
export const brand = {
  navy: '#2D3047',
  white: '#FFFFFF',
  lavender: '#DA8FFF',
  lavenderDark: '#B8A2DC',
  lavenderSoft: '#D4C1EC',
  peach: '#FBBE9F',
  mint: '#63E6E2',
  yellow: '#FAE8B0',
  success: '#B8E0D2',
  error: '#FFB5A7',
  gradient: ['#D88DFD', '#DD95EC', '#ECAAC1', '#F9BC9D'],
} as const

export interface ColourSet {
  background: string
  surface: string
  text: string
  textSecondary: string
  link: string
  border: string
  button: string
  buttonText: string
  hero: string
  heroText: string
  error: string
  errorText: string
  success: string
  successText: string
  focus: string
}

const shared = {
  button: brand.lavender,
  buttonText: brand.navy,
  hero: brand.lavenderSoft,
  heroText: brand.navy,
  error: brand.error,
  errorText: brand.navy,
  success: brand.success,
  successText: brand.navy,
} as const

export const light: ColourSet = {
  ...shared,
  background: '#F9FAFC',
  surface: brand.white,
  text: brand.navy,
  textSecondary: '#6C6F93',
  link: brand.navy,
  border: '#8A8DAB',
  focus: brand.navy,
}

export const dark: ColourSet = {
  ...shared,
  background: '#1F2133',
  surface: brand.navy,
  text: brand.white,
  textSecondary: brand.lavenderSoft,
  link: brand.lavender,
  border: '#8A8DAB',
  focus: brand.lavender,
}

/** Text (4.5) and control (3) pairs in use, WCAG 2.2 SC 1.4.3 and 1.4.11: `[foreground, background, least ratio]`. */
export const contrastPairs = (
  set: ColourSet,
): [foreground: keyof ColourSet, background: keyof ColourSet, least: number][] => {
  const pairs: [keyof ColourSet, keyof ColourSet, number][] = [
    ['text', 'background', 4.5],
    ['text', 'surface', 4.5],
    ['textSecondary', 'background', 4.5],
    ['textSecondary', 'surface', 4.5],
    ['link', 'background', 4.5],
    ['link', 'surface', 4.5],
    ['buttonText', 'button', 4.5],
    ['heroText', 'hero', 4.5],
    ['errorText', 'error', 4.5],
    ['successText', 'success', 4.5],
    ['border', 'surface', 3],
    ['focus', 'surface', 3],
  ]
  return pairs.filter(([foreground, background]) => set[foreground] !== set[background])
}

const channel = (hex: string, at: number): number => {
  const value = Number.parseInt(hex.slice(at, at + 2), 16) / 255
  return value <= 0.040_45 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4
}

const luminance = (hex: string): number =>
  0.2126 * channel(hex, 1) + 0.7152 * channel(hex, 3) + 0.0722 * channel(hex, 5)

/** Contrast ratio of two `#rrggbb` colours by WCAG 2.2: 1 to 21. */
export const contrastRatio = (one: string, other: string): number => {
  const [lighter, darker] = [luminance(one), luminance(other)].sort((a, b) => b - a)
  return ((lighter ?? 0) + 0.05) / ((darker ?? 0) + 0.05)
}

// Quicksand and Comfortaa where the reader has them, else the platform's rounded face.
export const fontStack = "Quicksand, ui-rounded, 'SF Pro Rounded', Nunito, 'Segoe UI', system-ui, sans-serif"
export const displayFontStack = `Comfortaa, ${fontStack}`

const kebab = (name: string): string => name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)

const widestLine = 110

// As the formatter writes them, so that a written stylesheet is a formatted one.
const declaration = (name: string, value: string, indent: string): string => {
  const text = value.replace(/#[0-9A-F]{6}/g, (colour) => colour.toLowerCase())
  const line = `${indent}--${kebab(name)}: ${text};`
  return line.length <= widestLine ? line : `${indent}--${kebab(name)}:\n${indent}  ${text};`
}

const declarations = (values: Record<string, string>, indent: string): string =>
  Object.entries(values)
    .map(([name, value]) => declaration(name, value, indent))
    .join('\n')

/** The custom properties of `static/brand.css`, between its two markers. */
export const tokenCss = (): string =>
  [
    ':root {',
    '  color-scheme: light dark;',
    declarations(
      {
        ...light,
        gradient: `linear-gradient(120deg, ${brand.gradient.join(', ')})`,
        font: fontStack,
        displayFont: displayFontStack,
        radiusSmall: '8px',
        radiusMedium: '16px',
        radiusLarge: '24px',
        shadow: '0 10px 20px rgb(45 48 71 / 8%)',
      },
      '  ',
    ),
    '}',
    '@media (prefers-color-scheme: dark) {',
    '  :root {',
    declarations({ ...dark, shadow: '0 10px 20px rgb(0 0 0 / 25%)' }, '    '),
    '  }',
    '}',
  ].join('\n')
