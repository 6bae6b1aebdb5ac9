import { shallowRef, type Ref } from 'vue'
import type { Model } from '@/api/types'
import { i18n } from '@/app/i18n'
import type { DialogName } from '@/app/appState'
import type { StoredParameters } from '@/images/storedParameters'
import { hasFeature } from '@/request/draft'

export interface OpenedImage {
  file: Blob
  stored: StoredParameters
}

interface Targets {
  model: Ref<Model | null>
  addEditImages: (files: Blob[]) => Promise<void>
  initImage: { file: Ref<Blob | null> }
  dialog: Ref<DialogName | null>
  showNotice: (text: string) => void
}

/** Image files that the user drops, pastes or selects. */
export function useImageFiles({ model, addEditImages, initImage, dialog, showNotice }: Targets) {
  /** The last opened file with parameters inside. */
  const openedImage = shallowRef<OpenedImage | null>(null)

  /** Offer the file's parameters in a dialog. Without them it becomes an image to look at, or the init image. */
  async function openImage(file: Blob) {
    const stored = await readStored(file).catch(() => null)
    if (stored) {
      openedImage.value = { file, stored }
      dialog.value = 'openedImage'
    } else if (model.value?.edits) {
      await addEditImages([file])
    } else if (hasFeature(model.value, 'image_to_image')) {
      initImage.file.value = file
    } else {
      showNotice(i18n.global.t('notice.noParameters'))
    }
  }

  /** Several files are images to look at, where the model has those; else the first image is opened. */
  async function openImages(files: Blob[]) {
    if (files.length > 1 && model.value?.edits) return addEditImages(files)
    const first = files.find(({ type }) => type.startsWith('image/'))
    if (first) await openImage(first)
    if (files.length && !first) showNotice(i18n.global.t('edits.unreadable'))
    else if (files.length > 1) showNotice(i18n.global.t('drop.first'))
  }

  return { openedImage, openImage, openImages }
}

/** The readers of all formats load with the first file. */
async function readStored(file: Blob): Promise<StoredParameters | null> {
  const { readParameters } = await import('@/images/readParameters')
  return readParameters(file)
}
