/** The Element Plus components of the first load, each with its style. The package index would bring all components. */
import 'element-plus/es/components/button/style/css'

export { ElButton } from 'element-plus/es/components/button/index'
export { ElConfigProvider } from 'element-plus/es/components/config-provider/index'
