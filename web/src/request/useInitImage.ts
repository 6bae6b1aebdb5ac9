import { useObjectUrl, useSessionStorage } from '@vueuse/core'
import { openDB, type DBSchema } from 'idb'
import { shallowRef, watch } from 'vue'

interface Schema extends DBSchema {
  /** Key: the tab, and for other images than the init image a name behind it. */
  images: { key: string; value: { file: Blob; files?: Blob[]; savedAt: number } }
}

/** Init images of closed tabs are deleted after this time. */
const KEPT_MS = 7 * 24 * 3_600_000

const openStore = () => openDB<Schema>('easel.draft', 1, { upgrade: (db) => void db.createObjectStore('images') })

const useTab = () => useSessionStorage('easel.tab', () => String(crypto.getRandomValues(new Uint32Array(2))))

/** Files of this tab's draft under a name, kept over a reload. */
export function draftFiles(name: string) {
  const key = `${useTab().value}:${name}`

  async function keep(files: Blob[]) {
    const [db, file] = [await openStore(), files[0]]
    if (file) await db.put('images', { file, files, savedAt: Date.now() }, key)
    else await db.delete('images', key)
  }

  const read = async (): Promise<Blob[]> => (await (await openStore()).get('images', key))?.files ?? []
  return { keep, read }
}

/** The init image of this tab, kept over a reload. `onChange`: it is another one now, or none. */
export function useInitImage(onChange: (file: Blob | null) => void) {
  const file = shallowRef<Blob | null>(null)
  const url = useObjectUrl(file)
  const tab = useTab()
  let restored: Blob | null = null

  watch(
    file,
    (changed) => {
      if (changed === restored && changed) return
      onChange(changed)
      void keep(changed).catch(() => undefined)
    },
    { flush: 'sync' },
  )

  async function keep(changed: Blob | null) {
    const db = await openStore()
    if (changed) await db.put('images', { file: changed, savedAt: Date.now() }, tab.value)
    else await db.delete('images', tab.value)
  }

  /** Take the image of before the reload, and delete those of tabs that were closed long ago. */
  async function restore() {
    const db = await openStore()
    for (const key of await db.getAllKeys('images')) {
      const entry = await db.get('images', key)
      if (entry && key === tab.value) restored = entry.file
      else if (entry && !key.startsWith(tab.value) && Date.now() - entry.savedAt > KEPT_MS)
        await db.delete('images', key)
    }
    file.value ??= restored
  }

  return { file, url, restore: () => restore().catch(() => undefined) }
}
