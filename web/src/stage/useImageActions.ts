import { baseUrl } from '@/api/service'
import type { AppState } from '@/app/appState'
import { i18n } from '@/app/i18n'
import type { HistoryImage } from '@/history/imageStore'
import { renderInfotext } from '@/images/infotext'
import { renderSnippet, type SnippetLanguage } from './codeSnippets'
import { copyImage, copyText, downloadImage } from './saveImage'
import { toShareLink } from './shareLink'

/** Download an image of the history, or copy it, its parameters, a link or code to the clipboard. */
export function useImageActions({
  history,
  connection,
  showNotice,
  textToCopy,
  dialog,
}: Pick<AppState, 'history' | 'connection' | 'showNotice' | 'textToCopy' | 'dialog'>) {
  const { t } = i18n.global

  /** Copy a text. If the browser does not allow that, show it for the user to copy. */
  async function copy(text: string) {
    try {
      await copyText(text)
      showNotice(t('notice.copied'))
    } catch {
      textToCopy.value = text
      dialog.value = 'copy'
    }
  }

  return {
    download: async (image: HistoryImage | null) => {
      const file = image && (await history.file(image.id))
      if (file) downloadImage(file, image)
    },
    copyImage: async ({ id }: HistoryImage) => {
      const file = await history.file(id)
      if (!file) return
      const isCopied = await copyImage(file).then(
        () => true,
        () => false,
      )
      showNotice(isCopied ? t('notice.copied') : t('notice.imageNotCopied'))
    },
    copyParameters: ({ parameters, model }: HistoryImage) => copy(renderInfotext(parameters, model)),
    copyLink: ({ parameters }: HistoryImage) => copy(toShareLink(location.href, parameters)),
    copyCode: (language: SnippetLanguage, { parameters }: HistoryImage) => {
      const url = new URL(baseUrl(connection.value), location.origin).href.replace(/\/$/, '')
      return copy(renderSnippet(language, url, parameters, connection.value.key !== ''))
    },
  }
}
