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
}: Pick<AppState, 'history' | 'connection' | 'showNotice'>) {
  const { t } = i18n.global

  async function reportCopy(copying: Promise<void>) {
    const text = await copying.then(
      () => t('notice.copied'),
      () => t('notice.notCopied'),
    )
    showNotice(text)
  }

  return {
    download: async (image: HistoryImage | null) => {
      const file = image && (await history.file(image.id))
      if (file) downloadImage(file, image)
    },
    copyImage: async ({ id }: HistoryImage) => {
      const file = await history.file(id)
      if (file) await reportCopy(copyImage(file))
    },
    copyParameters: ({ parameters, model }: HistoryImage) => reportCopy(copyText(renderInfotext(parameters, model))),
    copyLink: ({ parameters }: HistoryImage) => reportCopy(copyText(toShareLink(location.href, parameters))),
    copyCode: (language: SnippetLanguage, { parameters }: HistoryImage) => {
      const url = new URL(baseUrl(connection.value), location.origin).href.replace(/\/$/, '')
      return reportCopy(copyText(renderSnippet(language, url, parameters, connection.value.key !== '')))
    },
  }
}
