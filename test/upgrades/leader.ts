/** A leader as a process, which its parent may kill at any moment. Its options are those of `leadFleet`. */
import { leadFleet, type LeaderOptions } from './support.ts'

const led = await leadFleet(JSON.parse(process.argv[2]!) as LeaderOptions)
console.log(JSON.stringify(led.target))
