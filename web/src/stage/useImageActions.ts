import { baseUrl } from '@/api/service'
import { OWN } from '@/api/useConnection'
import type { AppState } from '@/app/appState'
import { i18n } from '@/app/i18n'
import type { HistoryImage, InputKind } from '@/history/imageStore'
import { renderInfotext } from '@/images/infotext'
import { inputFile, inputKinds, renderSnippet, type SnippetLanguage } from './snippets/codeSnippets'
import { copyImage, copyText, downloadImage, saveFile } from './saveImage'
import { toShareLink } from './shareLink'

/** Download an image of the history, or copy it, its parameters, a link or code to the clipboard. */
export function useImageActions({
  history,
  connection,
  session,
  showNotice,
  hasChoice,
  addEditImages,
  textToCopy,
  dialog,
  initImage,
}: Pick<
  AppState,
  | 'history'
  | 'connection'
  | 'session'
  | 'showNotice'
  | 'hasChoice'
  | 'addEditImages'
  | 'textToCopy'
  | 'dialog'
  | 'initImage'
>) {
  const { t } = i18n.global

  /** Copy a text. If the browser does not allow that, show it for the user to copy. */
  async function copy(text: string, notice = t('notice.copied')) {
    try {
      await copyText(text)
      showNotice(notice)
    } catch {
      textToCopy.value = text
      dialog.value = 'copy'
    }
  }

  /** Make an image the init image. `opens`: the editor of its mask, too. */
  async function useAsInitImage({ id }: HistoryImage, opens = false) {
    initImage.file.value = (await history.file(id)) ?? null
    if (opens) dialog.value = 'inpaint'
  }

  async function addEditImage({ id }: HistoryImage) {
    const file = await history.file(id)
    if (file) await addEditImages([file])
  }

  async function downloadInput(kind: InputKind, image: HistoryImage) {
    const file = await history.input(kind, image)
    if (file) saveFile(file, inputFile(kind))
  }

  /** Download the images that an image looked at, and those of its controls. */
  async function downloadPictures(image: HistoryImage) {
    for (const kind of inputKinds(image.parameters)) if (/\d/.test(kind)) await downloadInput(kind, image)
  }

  return {
    useAsInitImage,
    addEditImage,
    downloadInput,
    downloadPictures,
    download: (image: HistoryImage) => downloadImage(history, image),
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
    copyLink: ({ parameters, model }: HistoryImage) =>
      copy(
        toShareLink(location.href, parameters, hasChoice.value ? model : ''),
        parameters.strength === undefined ? undefined : t('notice.copiedWithoutImage'),
      ),
    copyCode: (language: SnippetLanguage, { parameters, model }: HistoryImage) => {
      const url = new URL(baseUrl(session ? OWN : connection.value), location.origin).href.replace(/\/$/, '')
      const request = hasChoice.value ? { model, ...parameters } : parameters
      return copy(renderSnippet(language, url, request, connection.value.key !== '' || session !== null))
    },
  }
}
