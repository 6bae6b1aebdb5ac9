import { useI18n } from 'vue-i18n'
import { useAppState } from '@/app/appState'
import { saveFile } from '@/stage/saveImage'
import type { HistoryImage } from './imageStore'
import { exportImages, importImages } from './transfer'

/** Images of the history as one zip file: download it, and import it again. */
export function useTransfer() {
  const { history, showNotice } = useAppState()
  const { t, locale } = useI18n()

  async function download(images: HistoryImage[]) {
    try {
      const zip = await exportImages(images, history.file)
      saveFile(zip, `easel-${new Date().toLocaleDateString('sv')}.zip`)
    } catch {
      showNotice(t('notice.notExported'))
    }
  }

  async function importFile(zip: Blob) {
    const ids = new Set(history.images.value.map(({ id }) => id))
    try {
      const counts = await importImages(zip, (id) => ids.has(id))
      const parts = Object.entries(counts).flatMap(([name, count]) =>
        count || name === 'added' ? [t(`import.${name}`, { count })] : [],
      )
      showNotice(new Intl.ListFormat(locale.value, { type: 'unit' }).format(parts))
    } catch {
      showNotice(t('import.failed'))
    }
    await history.reload()
  }

  return { download, importFile }
}
