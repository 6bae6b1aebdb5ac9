import type { Texts } from './storedParameters'

const ENTITIES: Record<string, string> = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'" }
const MAX_TEXTS = 100

/** Add the texts and attributes of an XMP packet, such as dc:description and exif:UserComment, in their order. */
export function addXmpTexts(packet: string, texts: Texts) {
  const values = [...packet.matchAll(/>([^<>]+)<|="([^"<>]+)"/g)].slice(0, MAX_TEXTS)
  values.forEach(([, text = '', attribute = ''], i) => {
    const value = decodeEntities(text || attribute).trim()
    if (value) texts.set(`XMP ${i + 1}`, value)
  })
}

function decodeEntities(text: string): string {
  return text.replace(/&(#\d{1,7}|#x[\da-f]{1,6}|\w{1,4});/gi, (entity, name: string) => {
    if (!name.startsWith('#')) return ENTITIES[name] ?? entity
    const code = Number(name.replace('#', '').replace(/^x/i, '0x'))
    return code <= 0x10ffff ? String.fromCodePoint(code) : entity
  })
}
