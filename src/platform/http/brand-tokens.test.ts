import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { test } from 'node:test'
import { brand, contrastPairs, contrastRatio, dark, light, tokenCss } from './brand-tokens.ts'

test('the ratio agrees with the published values of the brand page', () => {
  assert.equal(contrastRatio('#000000', '#FFFFFF'), 21)
  assert.equal(contrastRatio('#FFFFFF', '#DA8FFF').toFixed(2), '2.25')
  assert.equal(contrastRatio('#2D3047', '#DA8FFF').toFixed(2), '5.76')
})

for (const [name, set] of Object.entries({ light, dark })) {
  test(`every pair in use is readable: ${name}`, () => {
    for (const [foreground, background, least] of contrastPairs(set)) {
      const ratio = contrastRatio(set[foreground], set[background])
      assert.ok(ratio >= least, `${foreground} on ${background} is ${ratio.toFixed(2)}, needs ${least}`)
    }
  })
}

test('hero text is readable at both ends of the gradient', () => {
  for (const stop of brand.gradient) assert.ok(contrastRatio(brand.navy, stop) >= 4.5, stop)
})

test('brand.css carries the current tokens', async () => {
  const css = await readFile(new URL('static/brand.css', import.meta.url), 'utf8')
  assert.ok(css.includes(tokenCss()), 'run scripts/render-brand-css.ts')
})

test('brand.css uses no colour of its own', async () => {
  const css = await readFile(new URL('static/brand.css', import.meta.url), 'utf8')
  const rules = css.slice(css.indexOf('/* tokens:end */'))
  assert.ok(rules.length > 500)
  assert.deepEqual(rules.match(/#[0-9a-f]{3,8}\b|rgba?\(/gi), null)
})

test('brand.css loads nothing from elsewhere', async () => {
  const css = await readFile(new URL('static/brand.css', import.meta.url), 'utf8')
  assert.deepEqual(css.match(/url\(|@import|https?:/g), null)
})
