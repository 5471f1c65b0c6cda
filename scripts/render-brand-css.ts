import { readFile, writeFile } from 'node:fs/promises'
import { tokenCss } from '../src/platform/http/brand-tokens.ts'

// Writes the brand tokens into the stylesheet, between its markers; the rest of the file is written by hand.
const file = new URL('../src/platform/http/static/brand.css', import.meta.url)
const css = await readFile(file, 'utf8')
const block = /\/\* tokens:begin[\s\S]*?\/\* tokens:end \*\//
if (!block.test(css)) throw new Error('brand.css has lost its token markers')
const begin = '/* tokens:begin, written by scripts/render-brand-css.ts from brand-tokens.ts */'
await writeFile(file, css.replace(block, `${begin}\n${tokenCss()}\n/* tokens:end */`))
console.log('brand.css: tokens written')
