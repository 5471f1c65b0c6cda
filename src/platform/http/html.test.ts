import assert from 'node:assert/strict'
import { test } from 'node:test'
import { html, raw } from './html.ts'

test('escapes text in content and in attributes', () => {
  const value = `"><script>alert('x')</script>&\``
  assert.equal(
    html`<p title="${value}">${value}</p>`.toString(),
    '<p title="&quot;&gt;&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&amp;&#96;">' +
      '&quot;&gt;&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&amp;&#96;</p>',
  )
})

test('nested templates are not escaped twice and lists are joined', () => {
  const rows = ['a', '<b>'].map((row) => html`<li>${row}</li>`)
  assert.equal(html`[${rows}]`.toString(), '[<li>a</li><li>&lt;b&gt;</li>]')
})

test('a list of plain text is escaped item by item', () => {
  assert.equal(html`${['<', [raw('<br>'), '>']]}`.toString(), '&lt;<br>&gt;')
})

test('null, undefined and false write nothing; zero is written', () => {
  assert.equal(html`[${null}${undefined}${false}${0}]`.toString(), '[0]')
})

test('an object that only looks like markup cannot pass as safe', () => {
  const impostor = JSON.parse('{"markup":"<script>"}')
  assert.throws(() => html`${impostor}`, TypeError)
})
