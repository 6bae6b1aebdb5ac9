import { i18n } from '@/i18n'
import { renderInfotext } from '@/metadata/infotext'
import { copyPicture, download } from '@/save'
import { toLink } from '@/share'
import { renderSnippet, type Snippet } from '@/snippets'
import type { Picture } from '@/history'
import type { Studio } from '@/studio'
import { baseUrl } from '@/api/service'

/** What can be done with one picture of the history. */
export function usePictureActions({ history, connection, say }: Pick<Studio, 'history' | 'connection' | 'say'>) {
  const { t } = i18n.global

  async function copyText(text: string) {
    await navigator.clipboard.writeText(text).then(
      () => say(t('notice.copied')),
      () => say(t('notice.notCopied')),
    )
  }

  async function withFile(picture: Picture | null, act: (file: Blob, picture: Picture) => unknown) {
    const file = picture && (await history.file(picture.id))
    if (file) await act(file, picture)
  }

  return {
    download: (picture: Picture | null) => withFile(picture, download),
    copyPicture: (picture: Picture) =>
      withFile(picture, (file) =>
        copyPicture(file).then(
          () => say(t('notice.copied')),
          () => say(t('notice.notCopied')),
        ),
      ),
    copyParameters: ({ parameters, model }: Picture) => copyText(renderInfotext(parameters, model)),
    copyLink: ({ parameters }: Picture) => copyText(toLink(location.href, parameters)),
    copyCode: (kind: Snippet, { parameters }: Picture) => {
      const url = new URL(baseUrl(connection.value) || '/', location.origin).href.replace(/\/$/, '')
      return copyText(renderSnippet(kind, url, parameters, connection.value.key !== ''))
    },
  }
}
